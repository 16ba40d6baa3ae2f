/** placeholder body, replaced in the same change set */
export function parseArgs(args: string[]): Record<string, unknown> {
  return { _: args };
}

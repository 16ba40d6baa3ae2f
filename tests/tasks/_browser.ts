/** Opens a page in headless Chromium and says what it showed, said and asked for. */
import { assert, assertEquals } from "@std/assert";
import { parseHTML } from "linkedom";

const PROGRAM = "chromium";

/** Its version; undefined where there is no Chromium. */
export async function chromiumVersion(): Promise<string | undefined> {
  try {
    const command = new Deno.Command(PROGRAM, { args: ["--version"], stdout: "piped", stderr: "null" });
    return new TextDecoder().decode((await command.output()).stdout).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** What is used of linkedom's nodes. */
export interface PageNode {
  readonly textContent: string;
  getAttribute(name: string): string | null;
  querySelectorAll(selector: string): Iterable<PageNode>;
}

/** A page after it was loaded. */
export interface Visit {
  readonly document: PageNode;
  /** lines of the console: errors, refused requests, what scripts print */
  readonly said: readonly string[];
  /** addresses that the page asked for beside itself and data in it; those of the browser's own are left out */
  readonly requests: readonly string[];
}

const FLAGS = [
  "--headless",
  "--no-sandbox", // root has none
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND", // nothing leaves this machine
  "--enable-logging=stderr",
  "--dump-dom",
];

/** One event of Chromium's log of network events. */
interface NetEvent {
  readonly type: number;
  readonly params?: { readonly url?: string; readonly initiator?: string };
}

/** What a page asked for: a file's origin is `null`, the browser's own requests have none. */
function requestsIn(log: string): string[] {
  const { constants, events } = JSON.parse(log);
  const start = constants.logEventTypes.URL_REQUEST_START_JOB;
  assert(typeof start === "number", "the log of network events is not as it was");
  return (events as NetEvent[]).flatMap(({ type, params }) =>
    type === start && params?.url !== undefined && params.initiator !== "not an origin" ? [params.url] : []
  );
}

/** Opens a file. */
export async function visit(path: string): Promise<Visit> {
  const folder = await Deno.makeTempDir();
  try {
    const log = `${folder}/net.json`;
    const { code, stdout, stderr } = await new Deno.Command(PROGRAM, {
      args: [...FLAGS, `--user-data-dir=${folder}/user`, `--log-net-log=${log}`, `file://${path}`],
      stdout: "piped",
      stderr: "piped",
    }).output();
    const [dom, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(code, 0, errors);
    assert(dom.includes("</html>"), errors);
    return {
      document: (parseHTML(dom) as unknown as { document: PageNode }).document,
      said: [...errors.matchAll(/:CONSOLE[:(]\d+\)?\] (.*)$/gm)].map(([, line]) => line),
      requests: requestsIn(await Deno.readTextFile(log)),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

// Runs `deno` with the arguments and prints the most memory that it had at once, in bytes (Linux). A process of its own:
// Deno lets nobody look into /proc who may not do everything.
const child = new Deno.Command("deno", { args: Deno.args, stdout: "null", stderr: "inherit" }).spawn();
let peak = 0;
let ended = false;
child.status.then(() => ended = true);
while (!ended) {
  const status = await Deno.readTextFile(`/proc/${child.pid}/status`).catch(() => "");
  peak = Math.max(peak, 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0));
  await new Promise((resolve) => setTimeout(resolve, 50));
}
console.log(peak);
Deno.exit((await child.status).code);

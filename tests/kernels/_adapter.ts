// Runs in a process of its own: `deno run _adapter.ts` prints the adapter's record and traits as JSON.
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { currentTraits } from "../../kernels/runtime/program.ts";

const { description, software, features } = await initializeDevice();
console.log(JSON.stringify({ description, software, features, subgroupSize: currentTraits().subgroupSize }));

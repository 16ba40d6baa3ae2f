import { assertEquals, assertThrows } from "@std/assert";
import { FaceTracker } from "../../../models/faces/tracking.ts";

const box = (x: number, y = 0) => ({ x, y, width: 40, height: 50 });

Deno.test("two faces that move keep their tracks, in whatever order they are found", () => {
  const tracker = new FaceTracker({ maxGap: 2 });
  for (let frame = 1; frame <= 30; frame++) {
    const left = box(3 * frame);
    const right = box(300 - 3 * frame, 5);
    const swapped = frame % 2 === 0;
    const { tracks, ended } = tracker.update(frame, swapped ? [right, left] : [left, right]);
    assertEquals(tracks, swapped ? [2, 1] : [1, 2], `frame ${frame}`);
    assertEquals(ended, []);
  }
});

Deno.test("a face that is away too long begins another track; the best overlap wins", () => {
  const tracker = new FaceTracker({ maxGap: 2 });
  assertEquals(tracker.update(1, [box(0)]).tracks, [1]);
  assertEquals(tracker.update(2, []), { tracks: [], ended: [] });
  assertEquals(tracker.update(4, [box(2)]), { tracks: [1], ended: [] });
  assertEquals(tracker.update(7, [box(2)]), { tracks: [1], ended: [] }); // frames 5 and 6 are away: the most
  assertEquals(tracker.update(11, [box(2)]), { tracks: [2], ended: [1] });
  assertEquals(tracker.update(12, [box(12), box(4)]).tracks, [3, 2]);
  assertEquals(tracker.update(13, [box(200)]).tracks, [4]);
  assertThrows(() => new FaceTracker({ maxGap: -1 }), RangeError, "expected at least 0");
});

import { assert, assertEquals, assertRejects } from "@std/assert";
import { diskFiles, formatAnnotations, parseAnnotations } from "../../../data/aff_wild2/mod.ts";
import type { LabelSet } from "../../../data/aff_wild2/mod.ts";
import {
  ACTION_UNIT_HEADER,
  actionUnitText,
  assertFails,
  EXPRESSION_HEADER,
  expressionText,
} from "./_fixture.ts";

function parse(text: string, labelSet: LabelSet = "expression") {
  return parseAnnotations(new TextEncoder().encode(text), labelSet, "set/video1.txt");
}

Deno.test("annotations: expression labels, one a line", () => {
  const { count, labels } = parse(expressionText(0, 1, 2, 3, 4, 5, 6, -1));
  assertEquals(count, 8);
  assertEquals(labels, Int8Array.of(0, 1, 2, 3, 4, 5, 6, -1));
});

Deno.test("annotations: action units, twelve a line", () => {
  const { count, labels } = parse(actionUnitText("1,0,0,1,0,0,1,0,0,0,1,-1", 0, -1), "action_units");
  assertEquals(count, 3);
  assertEquals([...labels.subarray(0, 12)], [1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, -1]);
  assertEquals([...labels.subarray(12, 24)], new Array(12).fill(0));
  assertEquals([...labels.subarray(24)], new Array(12).fill(-1));
});

Deno.test("annotations: CRLF, blanks, a byte order mark, missing or extra line ends are forgiven", () => {
  const wanted = Int8Array.of(3, -1, 0);
  const header = EXPRESSION_HEADER;
  for (
    const text of [
      `${header}\r\n3\r\n-1\r\n0\r\n`,
      `${header} \n3\n-1\n0\n`,
      `${header} \t\r\n3 \n -1\n0`,
      `${header}\n3\n-1\n0\n\n`,
      `${header}\r\n3\r\n-1\r\n0\r\n\r\n \r\n`,
      `\ufeff${header}\n3\n-1\n0\n`,
      `${header.replaceAll(",", ", ")}\n3\n-1\n0`,
    ]
  ) assertEquals(parse(text).labels, wanted, JSON.stringify(text));
  const spaced = `${ACTION_UNIT_HEADER} \r\n${new Array(12).fill(1).join(", ")} \r\n\r\n`;
  assertEquals(parse(spaced, "action_units"), { count: 1, labels: new Int8Array(12).fill(1) });
});

Deno.test("annotations: a header without labels has no frames", () => {
  for (const text of [EXPRESSION_HEADER, `${EXPRESSION_HEADER}\n`, `${EXPRESSION_HEADER}\r\n\r\n`]) {
    assertEquals(parse(text), { count: 0, labels: new Int8Array(0) });
  }
});

Deno.test("annotations: a wrong header shows both", async () => {
  const swapped = EXPRESSION_HEADER.replace("Anger,Disgust", "Disgust,Anger");
  await assertFails(() => parse(`${swapped}\n0\n`), Error, "set/video1.txt", EXPRESSION_HEADER, swapped);
  await assertFails(() => parse(actionUnitText(0)), Error, EXPRESSION_HEADER, ACTION_UNIT_HEADER);
  await assertFails(() => parse("0\n1\n"), Error, EXPRESSION_HEADER, 'line 1 is "0"');
  await assertFails(() => parse(""), Error, 'line 1 is ""');
  await assertFails(() => parse(`${EXPRESSION_HEADER},Other\n7\n`), Error, "2022 or later");
});

Deno.test("annotations: a label outside its range names file, line, value and range", async () => {
  const range = "-1 (not annotated) to 6";
  await assertFails(
    () => parse(expressionText(0, 1, 7, 2)),
    RangeError,
    "set/video1.txt",
    "line 4",
    "got 7",
    range,
  );
  await assertFails(() => parse(expressionText(-2)), RangeError, "line 2", "got -2", range);
  await assertFails(() => parse(expressionText(5, 255)), RangeError, "line 3", "got 255");
  await assertFails(() => parse(expressionText(5, 4294967296)), RangeError, "got 4294967296");
  await assertFails(
    () => parse(actionUnitText(0, "0,0,0,0,2,0,0,0,0,0,0,0"), "action_units"),
    RangeError,
    "line 3",
    "AU7",
    "got 2",
    "-1 (not annotated) to 1",
  );
  await assertFails(() => parse(actionUnitText(-5), "action_units"), RangeError, "line 2", "AU1", "got -5");
});

Deno.test("annotations: a line that is not well-formed names file and line", async () => {
  await assertFails(() => parse(expressionText(0).replace("0", "x")), Error, "line 2", 'got "x"');
  await assertFails(() => parse(`${EXPRESSION_HEADER}\n1.5\n`), Error, "line 2", 'got "1.5"');
  await assertFails(() => parse(`${EXPRESSION_HEADER}\n1\n-\n`), Error, "line 3", 'got "-"');
  await assertFails(() => parse(`${EXPRESSION_HEADER}\n1\n\n2\n`), Error, "line 3", "frame 2", "empty");
  await assertFails(() => parse(`${EXPRESSION_HEADER}\n1\r2\n`), Error, "line 2");
  await assertFails(() => parse(`${EXPRESSION_HEADER}\n1,2\n`), Error, "line 2", "one value", "got 2");
  await assertFails(() => parse(actionUnitText("0,1"), "action_units"), Error, "line 2", "12", "got 2");
  await assertFails(
    () => parse(actionUnitText(new Array(13).fill(0).join(",")), "action_units"),
    Error,
    "line 2",
    "got 13",
  );
});

Deno.test("annotations: of a long line no more than its beginning is quoted", async () => {
  const long = "9".repeat(100_000);
  const files = [
    `${EXPRESSION_HEADER}\n${long}\n`,
    `${EXPRESSION_HEADER}\n${long}x\n`,
    `${long}\n0\n`,
    [
      EXPRESSION_HEADER,
      `${long},1`,
    ].join("\n"),
  ];
  for (const file of files) {
    const { message } = await assertRejects(async () => await parse(file), Error);
    assert(message.includes("999") && message.length < 600, `${message.length} characters`);
  }
});

Deno.test("annotations: what is no file, or too large a one, is not read", async () => {
  await assertRejects(() => diskFiles.read("/dev/null"), Error, "it is no file");
  const path = await Deno.makeTempFile();
  try {
    await Deno.truncate(path, 2 ** 28 + 1);
    await assertRejects(() => diskFiles.read(path), Error, "it has 268435457 bytes, more than 268435456");
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("annotations: formatting then parsing gives the same labels", async () => {
  const labels = Int8Array.of(0, -1, 6, 3);
  assertEquals(formatAnnotations(labels, "expression"), expressionText(0, -1, 6, 3));
  const units = Int8Array.from({ length: 36 }, (_, i) => i % 3 - 1);
  assertEquals(parse(formatAnnotations(units, "action_units"), "action_units").labels, units);
  await assertFails(() => formatAnnotations([0, 7], "expression"), RangeError, "frame 2", "got 7");
  await assertFails(() => formatAnnotations([0, 1], "action_units"), RangeError, "multiple of 12", "got 2");
});

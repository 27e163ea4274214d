import { expect, test } from "vitest";

import { inWords, passed } from "../time";

test("time is said as the terminal says it", () => {
  expect([0, 59, 60, 95, -1].map(inWords)).toEqual(["0 s", "59 s", "1 min", "1 min 35 s", "0 s"]);
});

test("a mark is passed once", () => {
  expect(passed(61, 60)).toBe(60);
  expect(passed(60, 59)).toBeUndefined();
  expect(passed(90, 5)).toBe(60);
});

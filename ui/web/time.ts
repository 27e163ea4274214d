// Time that is left, in words, and when a screen reader is told.

/** The marks, in seconds, at which the time that is left is announced. */
export const MARKS = [60, 30, 10] as const;

/** `95` → `1 min 35 s`. */
export function inWords(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  const rest = whole % 60;
  if (minutes === 0) return `${rest} s`;
  return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
}

/** The mark that was passed between two readings, or none. */
export function passed(before: number, after: number): number | undefined {
  return MARKS.find((mark) => before > mark && after <= mark);
}

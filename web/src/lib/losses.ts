/** The loss of each step of a running training. They stay in the tab, as the service repeats the newest event alone. */

export interface LossPoint {
  step: number;
  loss: number;
}

const MAX_POINTS = 4000;
const keyOf = (jobId: string) => `lipe-losses-${jobId}`;

/** Add a point. A step that comes again, after a training has resumed, replaces those from there on. */
export function withPoint(points: LossPoint[], step: number, loss: number): LossPoint[] {
  const last = points.at(-1);
  if (last?.step === step) return points;
  const kept = last && last.step > step ? points.filter((point) => point.step < step) : points;
  return [...kept.slice(-(MAX_POINTS - 1)), { step, loss }];
}

export function storedLosses(jobId: string, storage: Storage = sessionStorage): LossPoint[] {
  try {
    const flat: unknown = JSON.parse(storage.getItem(keyOf(jobId)) ?? "[]");
    if (!Array.isArray(flat) || flat.some((value) => typeof value !== "number")) return [];
    return Array.from({ length: Math.floor(flat.length / 2) }, (_, k) => ({
      step: flat[2 * k],
      loss: flat[2 * k + 1],
    }));
  } catch {
    return [];
  }
}

export function storeLosses(jobId: string, points: LossPoint[], storage: Storage = sessionStorage): void {
  try {
    storage.setItem(keyOf(jobId), JSON.stringify(points.flatMap(({ step, loss }) => [step, loss])));
  } catch {
    // Without room the plot begins again after a reload.
  }
}

export function forgetLosses(jobId: string, storage: Storage = sessionStorage): void {
  storage.removeItem(keyOf(jobId));
}

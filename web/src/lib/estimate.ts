/** The cost of a set of edits from the dry runs of its requests, and how to say it. */
import type { Schemas } from "../api/client";
import { duration } from "./words";

export type Cost = Pick<Schemas["DryRunBody"], "seconds" | "images" | "position">;

/** Everything together. The time is unknown if that of one request is. */
export function together(costs: Cost[]): Cost {
  const seconds = costs.map((cost) => cost.seconds);
  return {
    seconds: seconds.every((one) => one !== null) ? seconds.reduce((sum, one) => sum + one, 0) : null,
    images: costs.reduce((sum, cost) => sum + cost.images, 0),
    position: costs[0]?.position ?? null,
  };
}

export function costWords({ seconds, images, position }: Cost): string {
  const set = images > 1 ? ` for ${images} images` : "";
  const time =
    seconds === null
      ? images > 1
        ? `${images} images. The first job of its kind: the time is not known yet.`
        : "The first job of its kind: the time is not known yet."
      : `Takes about ${duration(seconds)} of work${set}.`;
  return position !== null && position > 1 ? `${time} ${position - 1} of your jobs come first.` : time;
}

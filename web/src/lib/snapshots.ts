/** The snapshots of a prior, in words. */
import type { Schemas } from "../api/client";

export type Snapshot = Schemas["SnapshotBody"];

/** A score as the length of a bar, from 0 to 1: a worse one than the base model's has no length. */
export const barLength = (score: number | null): number => Math.min(1, Math.max(0, score ?? 0));

export const percent = (score: number | null): string =>
  score === null ? "not measured" : `${Math.round(100 * score)} %`;

/** The bar of identity is as long as the best one of this prior allows: its scale differs between priors. */
export function shareOfBest(snapshots: readonly Snapshot[], identity: number): number {
  const best = Math.max(...snapshots.map((one) => one.identity));
  return best > 0 ? barLength(identity / best) : 0;
}

/** What choosing this snapshot instead of the chosen one changes; null for the chosen one. */
export function tradeOff(snapshots: readonly Snapshot[], snapshot: Snapshot): string | null {
  const chosen = snapshots.find((one) => one.is_chosen);
  if (!chosen || snapshot.is_chosen) return null;
  const likeness = Math.round(100 * (snapshot.identity - chosen.identity));
  const parts = [points(likeness, "identity")];
  if (snapshot.flexibility !== null && chosen.flexibility !== null)
    parts.push(points(Math.round(100 * (snapshot.flexibility - chosen.flexibility)), "flexibility"));
  return `Against the chosen one: ${parts.join(", ")}.`;
}

function points(change: number, name: string): string {
  if (change === 0) return `the same ${name}`;
  return `${Math.abs(change)} points ${change > 0 ? "more" : "less"} ${name}`;
}

/** Statistics of a study: shares with intervals, agreement of raters, and strengths of systems that were compared. */
import { randomNumbers } from "./random";

export interface Interval {
  value: number;
  low: number;
  high: number;
}

const Z = 1.959964; // of a 95 % interval
const RESAMPLES = 2000;

/** The 95 % interval of a share of independent answers (Wilson 1927, with the score test). */
export function wilson(successes: number, total: number): Interval | null {
  if (total === 0) return null;
  const share = successes / total;
  const spread = (Z * Z) / total;
  const middle = (share + spread / 2) / (1 + spread);
  const half = (Z * Math.sqrt((share * (1 - share)) / total + spread / (4 * total))) / (1 + spread);
  return { value: share, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * The mean of all values with a 95 % interval from the clustered bootstrap. Answers to one question depend on each
 * other, so whole clusters are drawn again, one for each question. Null with fewer than two clusters.
 */
export function clusteredMean(clusters: number[][], seed = 1): Interval | null {
  const filled = clusters.filter((cluster) => cluster.length > 0);
  if (filled.length < 2) return null;
  const random = randomNumbers(seed);
  const means = Array.from({ length: RESAMPLES }, () => {
    let [sum, count] = [0, 0];
    for (let k = 0; k < filled.length; k += 1) {
      const cluster = filled[Math.floor(random() * filled.length)] ?? [];
      sum += cluster.reduce((all, value) => all + value, 0);
      count += cluster.length;
    }
    return sum / count;
  }).sort((one, other) => one - other);
  const at = (share: number) => means[Math.round(share * (RESAMPLES - 1))] ?? 0;
  return { value: mean(filled.flat()), low: at(0.025), high: at(0.975) };
}

/**
 * Fleiss' kappa (1971): agreement of raters beyond chance; 1 is perfect and 0 is chance. Each row has the answers to one
 * question; rows with fewer than two answers say nothing and are left out. Rows may have different lengths. Null if no
 * row has two answers, or if all answers are the same, where chance cannot be told from agreement.
 */
export function fleissKappa(rows: string[][]): number | null {
  const rated = rows.filter((row) => row.length >= 2);
  if (rated.length === 0) return null;
  const total = rated.reduce((sum, row) => sum + row.length, 0);
  const overall = new Map<string, number>();
  const agreements = rated.map((row) => {
    const counts = new Map<string, number>();
    for (const answer of row) {
      counts.set(answer, (counts.get(answer) ?? 0) + 1);
      overall.set(answer, (overall.get(answer) ?? 0) + 1);
    }
    const pairs = [...counts.values()].reduce((sum, count) => sum + count * (count - 1), 0);
    return pairs / (row.length * (row.length - 1));
  });
  const chance = [...overall.values()].reduce((sum, count) => sum + (count / total) ** 2, 0);
  return chance === 1 ? null : (mean(agreements) - chance) / (1 - chance);
}

/** One comparison: the score of `left` is 1 if it was preferred, 0.5 for a tie, and 0 otherwise. */
export interface Comparison {
  left: string;
  right: string;
  score: number;
}

/**
 * Strengths of the Bradley-Terry model, which sum to 1: the chance that a beats b is a / (a + b). A tie counts half for
 * each. Half a win and half a loss against an average system are added, so that a system that always wins stays finite.
 * Iteration of Hunter (2004).
 */
export function bradleyTerry(comparisons: Comparison[]): Map<string, number> {
  const names = [...new Set(comparisons.flatMap(({ left, right }) => [left, right]))].sort();
  let strengths = new Map(names.map((name) => [name, 1 / names.length]));
  const of = (name: string) => strengths.get(name) ?? 0;
  for (let round = 0; round < 500; round += 1) {
    const average = 1 / names.length;
    const next = names.map((name): [string, number] => {
      let [wins, weight] = [0.5, 1 / (of(name) + average)];
      for (const { left, right, score } of comparisons) {
        if (left !== name && right !== name) continue;
        wins += left === name ? score : 1 - score;
        weight += 1 / (of(left) + of(right));
      }
      return [name, wins / weight];
    });
    const sum = next.reduce((all, [, strength]) => all + strength, 0);
    strengths = new Map(next.map(([name, strength]) => [name, strength / sum]));
  }
  return strengths;
}

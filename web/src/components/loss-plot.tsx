import type { LossPoint } from "../lib/losses";

const WIDTH = 900;
const HEIGHT = 200;
const MARGIN = { left: 44, right: 8, top: 10, bottom: 24 };
const SMOOTHING = 0.85;

/** Exponential moving average, corrected for its start. */
export function smoothed(values: number[]): number[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    sum = SMOOTHING * sum + (1 - SMOOTHING) * value;
    weight = SMOOTHING * weight + 1 - SMOOTHING;
    return sum / weight;
  });
}

/** The loss of every step, and its moving average. */
export function LossPlot({ points, total }: { points: LossPoint[]; total: number }) {
  if (points.length < 2) return null;
  const losses = points.map((point) => point.loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const range = high - low || 1;
  const x = (step: number) =>
    MARGIN.left + (step / Math.max(total, 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (loss: number) => MARGIN.top + ((high - loss) / range) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const path = (values: number[]) =>
    points.map((point, k) => `${x(point.step).toFixed(1)},${y(values[k] ?? 0).toFixed(1)}`).join(" ");
  const average = smoothed(losses);
  const last = average.at(-1) ?? 0;
  return (
    <figure className="plot">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`Loss: ${last.toFixed(3)} after ${points.at(-1)?.step} of ${total} steps`}
      >
        {[low, (low + high) / 2, high].map((loss) => (
          <g key={loss} className="plot-grid">
            <line x1={MARGIN.left} x2={WIDTH - MARGIN.right} y1={y(loss)} y2={y(loss)} />
            <text x={MARGIN.left - 8} y={y(loss) + 4} textAnchor="end">
              {loss.toFixed(2)}
            </text>
          </g>
        ))}
        <text className="plot-label" x={MARGIN.left} y={HEIGHT - 4}>
          step 1
        </text>
        <text className="plot-label" x={WIDTH - MARGIN.right} y={HEIGHT - 4} textAnchor="end">
          {total}
        </text>
        <polyline className="plot-raw" points={path(losses)} />
        <polyline className="plot-average" points={path(average)} />
      </svg>
      <figcaption className="hint">
        Loss of each step, and its moving average. It falls while the subject is learned, and it stays noisy.
      </figcaption>
    </figure>
  );
}

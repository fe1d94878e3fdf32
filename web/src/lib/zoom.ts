/** Zoom and position of an image in its frame. Offsets are shares of the frame, so that frames of any size agree. */

export interface Zoom {
  scale: number;
  x: number;
  y: number;
}

export const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };
export const MAX_SCALE = 16;

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/** The nearest zoom that leaves no gap between the image and its frame. */
const fitted = ({ scale, x, y }: Zoom): Zoom => ({
  scale,
  x: clamp(x, 1 - scale, 0),
  y: clamp(y, 1 - scale, 0),
});

/** Scale by a factor; the point of the image under (x, y), shares of the frame, stays there. */
export function zoomAt(zoom: Zoom, factor: number, x = 0.5, y = 0.5): Zoom {
  const scale = clamp(zoom.scale * factor, 1, MAX_SCALE);
  const ratio = scale / zoom.scale;
  return fitted({ scale, x: x - (x - zoom.x) * ratio, y: y - (y - zoom.y) * ratio });
}

export const panBy = (zoom: Zoom, x: number, y: number): Zoom =>
  fitted({ scale: zoom.scale, x: zoom.x + x, y: zoom.y + y });

/** The point of the image, as shares of its size, that is at a point of the frame. */
export const toImage = (zoom: Zoom, x: number, y: number): { x: number; y: number } => ({
  x: (x - zoom.x) / zoom.scale,
  y: (y - zoom.y) / zoom.scale,
});

/** Whether an image looks like a photo. Drawings have areas of one colour; in photos neighbouring pixels differ. */

/** Images are compared at this size, so that a large photo does not count as smooth. */
export const PHOTO_SIDE = 64;
const SAME = 6; // sum of the differences of red, green and blue
const FLAT_ENOUGH = 0.6; // drawings of the miniature's world reach 0.76, as JPEG 0.62; photos of pets 0.16 to 0.5

/** The share of pixels that have almost the colour of their right neighbour. `rgba`: rows of `width` pixels. */
export function flatShare(rgba: Uint8ClampedArray, width: number): number {
  let [same, all] = [0, 0];
  for (let k = 0; k + 4 < rgba.length; k += 4) {
    if ((k / 4 + 1) % width === 0) continue;
    all += 1;
    const difference = [0, 1, 2].reduce(
      (sum, channel) => sum + Math.abs((rgba[k + channel] ?? 0) - (rgba[k + 4 + channel] ?? 0)),
      0,
    );
    if (difference <= SAME) same += 1;
  }
  return all === 0 ? 1 : same / all;
}

export const looksLikePhoto = (rgba: Uint8ClampedArray, width: number): boolean =>
  flatShare(rgba, width) < FLAT_ENOUGH;

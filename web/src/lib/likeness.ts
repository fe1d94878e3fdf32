/** Difference hash: each bit says whether a pixel of a tiny grey copy is brighter than its right neighbour. */
const SIDE = 8;

/** The hash of an image file; null if the browser cannot decode it, as many cannot decode HEIC. */
export async function fingerprint(file: Blob): Promise<bigint | null> {
  try {
    const bitmap = await createImageBitmap(file, {
      resizeWidth: SIDE + 1,
      resizeHeight: SIDE,
      resizeQuality: "medium",
    });
    const canvas = new OffscreenCanvas(SIDE + 1, SIDE);
    const context = canvas.getContext("2d");
    context?.drawImage(bitmap, 0, 0);
    const pixels = context?.getImageData(0, 0, SIDE + 1, SIDE).data;
    return pixels ? differences(pixels) : null;
  } catch {
    return null;
  }
}

function differences(pixels: Uint8ClampedArray): bigint {
  const grey = (k: number) =>
    (pixels[4 * k] ?? 0) * 0.3 + (pixels[4 * k + 1] ?? 0) * 0.6 + (pixels[4 * k + 2] ?? 0) * 0.1;
  let hash = 0n;
  for (let row = 0; row < SIDE; row += 1)
    for (let column = 0; column < SIDE; column += 1) {
      const place = row * (SIDE + 1) + column;
      hash = (hash << 1n) | (grey(place) > grey(place + 1) ? 1n : 0n);
    }
  return hash;
}

/** The number of bits that differ, from 0 to 64. */
export function distance(one: bigint, other: bigint): number {
  return (one ^ other).toString(2).replaceAll("0", "").length;
}

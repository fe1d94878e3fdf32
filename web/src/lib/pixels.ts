/** Comparison of a result with its source, outside the mask of what may change. */

/** The pixels of an image file, scaled to a size if one is given. */
export async function pixelsOf(url: string, width?: number, height?: number): Promise<ImageData> {
  const bitmap = await createImageBitmap(await (await fetch(url)).blob());
  const canvas = new OffscreenCanvas(width ?? bitmap.width, height ?? bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

export function changedOutside(source: ImageData, result: ImageData, mask: ImageData): number {
  let changed = 0;
  for (let k = 0; k < source.data.length; k += 4) {
    const isKept = (mask.data[k] ?? 0) === 0;
    const isSame = [0, 1, 2].every((channel) => source.data[k + channel] === result.data[k + channel]);
    if (isKept && !isSame) changed += 1;
  }
  return changed;
}

/** The number of pixels that the edit changed where the mask is black; null if the three differ in size. */
export async function countChanged(urls: {
  source: string;
  result: string;
  mask: string;
}): Promise<number | null> {
  const [source, result, mask] = await Promise.all([
    pixelsOf(urls.source),
    pixelsOf(urls.result),
    pixelsOf(urls.mask),
  ]);
  const sizes = new Set([source, result, mask].map((one) => `${one.width} ${one.height}`));
  return sizes.size === 1 ? changedOutside(source, result, mask) : null;
}

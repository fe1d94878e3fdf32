/** Masks as image files: read one that an edit has made, write the one that a person has drawn. */
import { type Box, cellsOf, type MaskDrawing, pixelsOfCells } from "./mask";
import { pixelsOf } from "./pixels";

const MARKED = [255, 64, 129, 140] as const;
const CLEAR = [0, 0, 0, 0] as const;
const VEIL = [16, 20, 24, 150] as const;
const WHITE = [255, 255, 255, 255] as const;
const BLACK = [0, 0, 0, 255] as const;

/** Make the drawing show the mask of a file, scaled to the drawing's size. */
export async function takeMask(drawing: MaskDrawing, url: string): Promise<void> {
  const pixels = await pixelsOf(url, drawing.width, drawing.height);
  drawing.replace(cellsOf(pixels.data));
}

/** Put the drawing, or a part of it that has changed, onto the canvas over the image. */
export function showMask(canvas: HTMLCanvasElement | null, drawing: MaskDrawing, box?: Box | null): void {
  const context = canvas?.getContext("2d");
  if (!context) return;
  const { left, top, right, bottom } = box ?? {
    left: 0,
    top: 0,
    right: drawing.width,
    bottom: drawing.height,
  };
  const width = right - left;
  if (width <= 0 || bottom <= top) return;
  const cells = new Uint8Array(width * (bottom - top));
  for (let y = top; y < bottom; y += 1) {
    const start = y * drawing.width + left;
    cells.set(drawing.cells.subarray(start, start + width), (y - top) * width);
  }
  context.putImageData(new ImageData(pixelsOfCells(cells, MARKED, CLEAR), width, bottom - top), left, top);
}

/** Darken what is outside the mask. A colour over the subject could be its own. */
export function veilAround(canvas: HTMLCanvasElement | null, { cells, width, height }: MaskDrawing): void {
  const pixels = pixelsOfCells(cells, CLEAR, VEIL);
  canvas?.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** The drawing as a PNG: white where the edit may change the image. */
export async function fileOfMask(drawing: MaskDrawing): Promise<Blob> {
  const canvas = new OffscreenCanvas(drawing.width, drawing.height);
  const pixels = pixelsOfCells(drawing.cells, WHITE, BLACK);
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, drawing.width, drawing.height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

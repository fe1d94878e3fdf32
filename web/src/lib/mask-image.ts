/** Masks as image files: read one that an edit has made, write the one that a person has drawn. */
import { cellsOf, type MaskDrawing, pixelsOfCells } from "./mask";
import { pixelsOf } from "./pixels";

const WHITE = [255, 255, 255, 255] as const;
const BLACK = [0, 0, 0, 255] as const;

/** Make the drawing show the mask of a file, scaled to the drawing's size. */
export async function takeMask(drawing: MaskDrawing, url: string): Promise<void> {
  const pixels = await pixelsOf(url, drawing.width, drawing.height);
  drawing.replace(cellsOf(pixels.data));
}

/** The drawing as a PNG: white where the edit may change the image. */
export async function fileOfMask(drawing: MaskDrawing): Promise<Blob> {
  const canvas = new OffscreenCanvas(drawing.width, drawing.height);
  const pixels = pixelsOfCells(drawing.cells, WHITE, BLACK);
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, drawing.width, drawing.height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

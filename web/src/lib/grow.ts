/** Masks that grow and shrink by a distance, in two passes over the pixels. */

const [STRAIGHT, DIAGONAL] = [5, 7]; // a chamfer distance: 5 for each pixel, within 2 % of the true one

/** Distances to the nearest 1, in fifths of a pixel. */
function distances(cells: Uint8Array, width: number, height: number): Int32Array {
  const far = 1 << 28;
  const result = Int32Array.from(cells, (cell) => (cell ? 0 : far));
  const relax = (cell: number, x: number, y: number, backward: -1 | 1) => {
    let best = result[cell] as number;
    const [row, hasRow] = [cell + backward * width, backward < 0 ? y > 0 : y < height - 1];
    if (backward < 0 ? x > 0 : x < width - 1)
      best = Math.min(best, (result[cell + backward] as number) + STRAIGHT);
    if (hasRow) {
      best = Math.min(best, (result[row] as number) + STRAIGHT);
      if (x > 0) best = Math.min(best, (result[row - 1] as number) + DIAGONAL);
      if (x < width - 1) best = Math.min(best, (result[row + 1] as number) + DIAGONAL);
    }
    result[cell] = best;
  };
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) relax(y * width + x, x, y, -1);
  for (let y = height - 1; y >= 0; y -= 1)
    for (let x = width - 1; x >= 0; x -= 1) relax(y * width + x, x, y, 1);
  return result;
}

/** Ones up to `radius` pixels around the ones. */
export function grown(cells: Uint8Array, width: number, height: number, radius: number): Uint8Array {
  return Uint8Array.from(distances(cells, width, height), (distance) =>
    distance <= STRAIGHT * radius ? 1 : 0,
  );
}

/** Ones that are further than `radius` pixels from the zeros. The edge of the image takes nothing away. */
export function shrunk(cells: Uint8Array, width: number, height: number, radius: number): Uint8Array {
  const zeros = cells.map((cell) => 1 - cell);
  return grown(zeros, width, height, radius).map((cell) => 1 - cell);
}

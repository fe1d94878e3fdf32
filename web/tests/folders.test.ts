import assert from "node:assert/strict";
import { test } from "node:test";
import { readFolders } from "../src/lib/folders";

const files = (...paths: string[]) =>
  paths.map((path) => ({ name: path.split("/").at(-1) ?? "", webkitRelativePath: path }));

test("files of the same name in the folders of systems are one case", () => {
  const { systems, items, references, leftOut } = readFolders(
    files(
      "all/lipe/a_dog-jumping.png", "all/ddim/a_dog-jumping.jpg", "all/lipe/only.png", "all/ddim/notes.txt",
      "all/source/A_dog-jumping.webp", "all/references/1.png", "all/references/2.png", "all/.DS_Store",
    ), // biome-ignore format: one line for each kind
  );
  assert.deepEqual(systems, ["ddim", "lipe"]);
  assert.equal(items.length, 1);
  const [item] = items;
  assert.equal(item?.prompt, "a dog jumping");
  assert.deepEqual(
    [...(item?.results ?? [])].map(([system, file]) => [system, file.name]),
    [
      ["ddim", "a_dog-jumping.jpg"],
      ["lipe", "a_dog-jumping.png"],
    ],
  );
  assert.equal(item?.source?.name, "A_dog-jumping.webp");
  assert.deepEqual(
    references.map(({ name }) => name),
    ["1.png", "2.png"],
  );
  assert.deepEqual(leftOut, ["only.png"]);
});

test("a folder that cannot be compared says how it must be", () => {
  assert.throws(() => readFolders(files("all/a.png", "all/b.png")), /a folder with images for each system/);
  assert.throws(() => readFolders(files("all/lipe/a.png", "all/source/a.png")), /at least two/);
  assert.throws(() => readFolders(files("all/lipe/a.png", "all/ddim/b.png")), /nothing can be compared/);
  assert.throws(() => readFolders([]), /at least two/);
});

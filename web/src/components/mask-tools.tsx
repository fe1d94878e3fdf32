import type { MaskDrawing } from "../lib/mask";

export type Tool = "brush" | "eraser" | "click";
const GROWTH = 0.03; // share of the shorter side
const TOOLS: { value: Tool; text: string; key: string }[] = [
  { value: "brush", text: "Brush", key: "B" },
  { value: "eraser", text: "Eraser", key: "E" },
  { value: "click", text: "Click", key: "C" },
];

interface MaskToolsProps {
  drawing: MaskDrawing;
  tool: Tool;
  /** The diameter of the brush in pixels, or the difference in colour that a click accepts. */
  reach: { value: number; most: number };
  /** The shorter side of the image in pixels. */
  side: number;
  onTool: (tool: Tool) => void;
  onReach: (reach: number) => void;
  /** Do something to the drawing, and show it. */
  onChange: (change: (drawing: MaskDrawing) => void) => void;
}

/** Brush, eraser and click, and how far they reach; undo and redo; changes of the whole mask. */
export function MaskTools({ drawing, tool, reach, side, onTool, onReach, onChange }: MaskToolsProps) {
  const step = Math.max(1, Math.round(GROWTH * side));
  return (
    <div className="mask-tools">
      <div className="segments" role="radiogroup" aria-label="Tool">
        {TOOLS.map(({ value, text, key }) => (
          <label key={value} title={`Key ${key}`}>
            <input type="radio" name="mask-tool" checked={tool === value} onChange={() => onTool(value)} />
            <span>{text}</span>
          </label>
        ))}
      </div>
      <label className="mask-size" title="Keys [ and ]">
        <span>{tool === "click" ? "Reach" : "Size"}</span>
        <input
          type="range"
          min={1}
          max={reach.most}
          value={reach.value}
          onChange={(event) => onReach(Number(event.target.value))}
        />
      </label>
      <div className="mask-steps">
        <button
          type="button"
          className="quiet"
          title="Ctrl + Z"
          disabled={!drawing.canUndo}
          onClick={() => onChange((mask) => mask.undo())}
        >
          Undo
        </button>
        <button
          type="button"
          className="quiet"
          title="Ctrl + Shift + Z"
          disabled={!drawing.canRedo}
          onClick={() => onChange((mask) => mask.redo())}
        >
          Redo
        </button>
        <button
          type="button"
          className="quiet"
          disabled={drawing.isEmpty}
          onClick={() => onChange((mask) => mask.grow(step))}
        >
          Grow
        </button>
        <button
          type="button"
          className="quiet"
          disabled={drawing.isEmpty}
          onClick={() => onChange((mask) => mask.shrink(step))}
        >
          Shrink
        </button>
        <button
          type="button"
          className="quiet"
          disabled={drawing.isEmpty}
          onClick={() => onChange((mask) => mask.clear())}
        >
          Clear
        </button>
        <button type="button" className="quiet" onClick={() => onChange((mask) => mask.invert())}>
          Invert
        </button>
      </div>
    </div>
  );
}

import type { MaskDrawing } from "../lib/mask";

export type Tool = "brush" | "eraser";
const TOOLS: { value: Tool; text: string; key: string }[] = [
  { value: "brush", text: "Brush", key: "B" },
  { value: "eraser", text: "Eraser", key: "E" },
];

interface MaskToolsProps {
  drawing: MaskDrawing;
  tool: Tool;
  size: number;
  maxSize: number;
  onTool: (tool: Tool) => void;
  onSize: (size: number) => void;
  /** Do something to the drawing, and show it. */
  onChange: (change: (drawing: MaskDrawing) => void) => void;
}

/** Brush, eraser and size of the brush; undo, redo, clear and swap. */
export function MaskTools({ drawing, tool, size, maxSize, onTool, onSize, onChange }: MaskToolsProps) {
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
        <span>Size</span>
        <input
          type="range"
          min={1}
          max={maxSize}
          value={size}
          onChange={(event) => onSize(Number(event.target.value))}
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

import { type CSSProperties, type KeyboardEvent, useEffect, useReducer, useRef, useState } from "react";
import { type Box, type MaskDrawing, pixelsOfCells } from "../lib/mask";
import { WHOLE } from "../lib/zoom";
import { MaskTools, type Tool } from "./mask-tools";
import { type Grab, ZoomControls, ZoomFrame, zoomByKey } from "./zoom-frame";

const MARKED = [255, 64, 129, 140] as const;
const CLEAR = [0, 0, 0, 0] as const;
const ARROWS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

interface MaskEditorProps {
  drawing: MaskDrawing;
  /** The signed URL of the image below the mask. */
  url: string;
  onChange: () => void;
}

/** Put the drawing, or a part of it that has changed, onto the canvas. */
function show(canvas: HTMLCanvasElement | null, drawing: MaskDrawing, box?: Box | null): void {
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

/** The image with the mask over it, which pointer and keyboard draw and erase. */
export function MaskEditor({ drawing, url, onChange }: MaskEditorProps) {
  const { width, height } = drawing;
  const side = Math.min(width, height);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [tool, setTool] = useState<Tool>("brush");
  const [size, setSize] = useState(Math.max(2, Math.round(side / 12)));
  const [zoom, setZoom] = useState(WHOLE);
  const [brush, setBrush] = useState({ x: width / 2, y: height / 2 });
  const [, refresh] = useReducer((count: number) => count + 1, 0);
  const last = useRef(brush);
  const isKeyDown = useRef(false);
  const maxSize = Math.round(side / 3);

  useEffect(() => show(canvas.current, drawing), [drawing, drawing.revision]);
  const finish = () => {
    drawing.endStroke();
    refresh();
    onChange();
  };
  const paint = (to: { x: number; y: number }, value: 0 | 1 = tool === "brush" ? 1 : 0) => {
    show(canvas.current, drawing, drawing.stroke(last.current, to, size / 2, value));
    last.current = to;
    setBrush(to);
  };
  const pixel = (x: number, y: number) => ({ x: x * width, y: y * height });
  const grab: Grab = {
    onStart: (x, y) => {
      last.current = pixel(x, y);
      paint(last.current);
      return true;
    },
    onMove: (x, y) => paint(pixel(x, y)),
    onEnd: finish,
    onCancel: () => show(canvas.current, drawing, drawing.cancelStroke()),
    onHover: (x, y) => setBrush(pixel(x, y)),
  };
  const change = (act: (mask: MaskDrawing) => void) => {
    act(drawing);
    show(canvas.current, drawing);
    refresh();
    onChange();
  };
  const resize = (by: number) =>
    setSize((now) => Math.min(maxSize, Math.max(1, Math.round(now * by + by - 1))));

  const onKeyDown = (event: KeyboardEvent) => {
    const arrow = ARROWS[event.key];
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      event.preventDefault();
      change((mask) => (event.shiftKey ? mask.redo() : mask.undo()));
    } else if (arrow) {
      event.preventDefault();
      const step = event.shiftKey ? 1 : Math.max(1, size / 2);
      const to = {
        x: Math.min(width, Math.max(0, brush.x + arrow[0] * step)),
        y: Math.min(height, Math.max(0, brush.y + arrow[1] * step)),
      };
      if (isKeyDown.current) paint(to);
      else setBrush(to);
    } else if (event.key === " " && !isKeyDown.current) {
      event.preventDefault();
      isKeyDown.current = true;
      last.current = brush;
      paint(brush);
    } else if (event.key === " ") event.preventDefault();
    else if (event.key.toLowerCase() === "b") setTool("brush");
    else if (event.key.toLowerCase() === "e") setTool("eraser");
    else if (event.key === "[") resize(1 / 1.25);
    else if (event.key === "]") resize(1.25);
    else zoomByKey(event, setZoom);
  };
  const onKeyUp = (event: KeyboardEvent) => {
    if (event.key !== " ") return;
    isKeyDown.current = false;
    finish();
  };
  const cursor = {
    "--brush-x": `${(brush.x / width) * 100}%`,
    "--brush-y": `${(brush.y / height) * 100}%`,
    "--brush": `${(size / width) * 100}%`,
  } as CSSProperties;
  return (
    <div className="mask-editor">
      <MaskTools
        drawing={drawing}
        tool={tool}
        size={size}
        maxSize={maxSize}
        onTool={setTool}
        onSize={setSize}
        onChange={change}
      />
      <div
        className="mask-stage"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keys draw here.
        tabIndex={0}
        aria-label="Mask. Arrow keys move the brush, and space draws."
        onKeyDown={onKeyDown}
        onKeyUp={onKeyUp}
        onBlur={() => {
          if (isKeyDown.current) finish();
          isKeyDown.current = false;
        }}
      >
        <ZoomFrame zoom={zoom} onZoom={setZoom} width={width} height={height} grab={grab}>
          <img src={url} alt="Below the mask" draggable={false} />
          <canvas ref={canvas} width={width} height={height} />
          <div className="mask-cursor-area" style={cursor} aria-hidden="true">
            <div className={`mask-cursor mask-cursor-${tool}`} />
          </div>
        </ZoomFrame>
      </div>
      <div className="mask-foot">
        <p className="hint" role="status">
          {drawing.isEmpty
            ? "Draw over what may change: the subject, and where it will be."
            : `${Math.max(1, Math.round(drawing.share * 100))} % of the image may change. The rest stays as it is, to the pixel.`}
        </p>
        <ZoomControls zoom={zoom} onZoom={setZoom} />
      </div>
    </div>
  );
}

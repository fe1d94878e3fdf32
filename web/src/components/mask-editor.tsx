import { type CSSProperties, type KeyboardEvent, useEffect, useReducer, useRef, useState } from "react";
import type { Box, MaskDrawing } from "../lib/mask";
import { showMask } from "../lib/mask-image";
import { pixelsOf } from "../lib/pixels";
import { regionAt, regionSize } from "../lib/region";
import { WHOLE } from "../lib/zoom";
import { MaskTools, type Tool } from "./mask-tools";
import { type Grab, ZoomControls, ZoomFrame, zoomByKey } from "./zoom-frame";

const [REACH, MAX_REACH] = [32, 128];
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

/** What a click does: it marks the region of one colour under it, or takes its mark away. */
function useClicks(drawing: MaskDrawing, url: string) {
  const pixels = useRef<Promise<ImageData> | null>(null);
  const [error, setError] = useState<string | null>(null);
  const toggle = async (at: { x: number; y: number }, reach: number): Promise<Box | null> => {
    const { width, height } = regionSize(drawing.width, drawing.height);
    try {
      pixels.current ??= pixelsOf(url, width, height);
      const image = await pixels.current;
      const x = Math.min(width - 1, Math.max(0, Math.floor((at.x / drawing.width) * width)));
      const y = Math.min(height - 1, Math.max(0, Math.floor((at.y / drawing.height) * height)));
      const marks = drawing.scaled(width, height);
      const isMarked = marks[y * width + x] === 1;
      const open = isMarked ? marks : marks.map((mark) => 1 - mark);
      return drawing.fill({ cells: regionAt(image, open, x, y, reach), width, height }, isMarked ? 0 : 1);
    } catch {
      pixels.current = null; // the signed URL may have expired
      setError("The page cannot read the pixels of the image. Try again, or use the brush.");
      return null;
    }
  };
  return { toggle, error };
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
  const [reach, setReach] = useState(REACH);
  const clicks = useClicks(drawing, url);

  useEffect(() => showMask(canvas.current, drawing), [drawing, drawing.revision]);
  const finish = () => {
    drawing.endStroke();
    refresh();
    onChange();
  };
  const paint = (to: { x: number; y: number }, value: 0 | 1 = tool === "brush" ? 1 : 0) => {
    showMask(canvas.current, drawing, drawing.stroke(last.current, to, size / 2, value));
    last.current = to;
    setBrush(to);
  };
  const click = async (at: { x: number; y: number }) => {
    const box = await clicks.toggle(at, reach);
    if (box) change(() => undefined);
  };
  const pixel = (x: number, y: number) => ({ x: x * width, y: y * height });
  const grab: Grab = {
    onStart: (x, y) => {
      last.current = pixel(x, y);
      if (tool !== "click") paint(last.current);
      return true;
    },
    onMove: (x, y) => (tool === "click" ? setBrush(pixel(x, y)) : paint(pixel(x, y))),
    onEnd: () => (tool === "click" ? void click(last.current) : finish()),
    onCancel: () => showMask(canvas.current, drawing, drawing.cancelStroke()),
    onHover: (x, y) => setBrush(pixel(x, y)),
  };
  const change = (act: (mask: MaskDrawing) => void) => {
    act(drawing);
    showMask(canvas.current, drawing);
    refresh();
    onChange();
  };
  const resize = (by: number) => {
    const [set, most] = tool === "click" ? ([setReach, MAX_REACH] as const) : ([setSize, maxSize] as const);
    set((now) => Math.min(most, Math.max(1, Math.round(now * by + by - 1))));
  };

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
      if (isKeyDown.current && tool !== "click") paint(to);
      else setBrush(to);
    } else if (event.key === " " && !isKeyDown.current) {
      event.preventDefault();
      isKeyDown.current = true;
      last.current = brush;
      if (tool === "click") void click(brush);
      else paint(brush);
    } else if (event.key === " ") event.preventDefault();
    else if (event.key.toLowerCase() === "b") setTool("brush");
    else if (event.key.toLowerCase() === "e") setTool("eraser");
    else if (event.key.toLowerCase() === "c") setTool("click");
    else if (event.key === "[") resize(1 / 1.25);
    else if (event.key === "]") resize(1.25);
    else zoomByKey(event, setZoom);
  };
  const onKeyUp = (event: KeyboardEvent) => {
    if (event.key !== " ") return;
    isKeyDown.current = false;
    if (tool !== "click") finish();
  };
  const cursor = {
    "--brush-x": `${(brush.x / width) * 100}%`,
    "--brush-y": `${(brush.y / height) * 100}%`,
    "--brush": `${((tool === "click" ? side / 40 : size) / width) * 100}%`,
  } as CSSProperties;
  return (
    <div className="mask-editor">
      <MaskTools
        drawing={drawing}
        tool={tool}
        reach={{ value: tool === "click" ? reach : size, most: tool === "click" ? MAX_REACH : maxSize }}
        side={side}
        onTool={setTool}
        onReach={tool === "click" ? setReach : setSize}
        onChange={change}
      />
      <div
        className="mask-stage"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keys draw here.
        tabIndex={0}
        aria-label="Mask. Arrow keys move the tool, and space uses it."
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
      {clicks.error && <p className="field-error">{clicks.error}</p>}
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

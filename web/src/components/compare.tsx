import { type CSSProperties, useRef, useState } from "react";
import type { Zoom } from "../lib/zoom";
import { type Grab, ZoomFrame } from "./zoom-frame";

const NEAR = 0.08; // of the frame's width

export interface Pair {
  before: string;
  after: string;
  alt: string;
  width: number;
  height: number;
}

interface CompareProps extends Pair {
  zoom: Zoom;
  onZoom: (change: (now: Zoom) => Zoom) => void;
}

/** Two images of the same size, with a line between them that the pointer and the arrow keys move. */
export function Compare({ before, after, alt, width, height, zoom, onZoom }: CompareProps) {
  const [at, setAt] = useState(50);
  const input = useRef<HTMLInputElement>(null);
  // The line stays in the frame while the image is moved below it.
  const inFrame = (x: number) => x * zoom.scale + zoom.x;
  const inImage = (at / 100 - zoom.x) / zoom.scale;
  const move = (x: number) => setAt(Math.round(Math.min(1, Math.max(0, inFrame(x))) * 100));
  const grab: Grab = {
    onStart: (x) => {
      if (zoom.scale > 1 && Math.abs(inFrame(x) - at / 100) > NEAR) return false;
      move(x);
      input.current?.focus({ preventScroll: true });
      return true;
    },
    onMove: move,
    onEnd: () => {},
    onCancel: () => {},
  };
  const clip = `${Math.min(1, Math.max(0, inImage)) * 100}%`;
  const style = { "--at": `${at}%`, "--clip": clip } as CSSProperties;
  const overlay = (
    <>
      <span className="compare-tag compare-tag-before" aria-hidden="true">
        Before
      </span>
      <span className="compare-tag compare-tag-after" aria-hidden="true">
        After
      </span>
      <div className="compare-line" aria-hidden="true" />
      <input
        ref={input}
        type="range"
        min={0}
        max={100}
        value={at}
        aria-label="Share of the image that shows it before the edit"
        onChange={(event) => setAt(Number(event.target.value))}
      />
    </>
  );
  return (
    <div className="compare" style={style}>
      <ZoomFrame zoom={zoom} onZoom={onZoom} width={width} height={height} grab={grab} overlay={overlay}>
        <img src={before} alt="Before the edit" draggable={false} />
        <img className="compare-after" src={after} alt={alt} draggable={false} />
      </ZoomFrame>
    </div>
  );
}

import { useState } from "react";
import type { EditResult, Image } from "../api/client";
import type { Zoom } from "../lib/zoom";
import { Compare } from "./compare";
import { type Grab, ZoomFrame } from "./zoom-frame";

export type View = "slider" | "beside" | "hold" | "mask";
export const VIEWS = [
  { value: "slider", text: "Slider" },
  { value: "beside", text: "Both" },
  { value: "hold", text: "Hold" },
  { value: "mask", text: "Mask" },
] as const satisfies { value: View; text: string }[];

interface ViewerProps {
  view: View;
  result: EditResult;
  source: Image;
  zoom: Zoom;
  onZoom: (change: (now: Zoom) => Zoom) => void;
}

/** The result; while it is pressed, or pointed at with a mouse, the image before the edit. */
function Hold({ result, source, zoom, onZoom }: ViewerProps) {
  const [isBefore, setBefore] = useState(false);
  const grab: Grab = {
    onStart: () => {
      setBefore(true);
      return zoom.scale === 1;
    },
    onMove: () => {},
    onEnd: () => setBefore(false),
    onCancel: () => setBefore(false),
  };
  const tag = (
    <span className={`compare-tag compare-tag-${isBefore ? "before" : "after"}`} aria-hidden="true">
      {isBefore ? "Before" : "After"}
    </span>
  );
  return (
    <div
      className="hold"
      onPointerUp={() => setBefore(false)}
      onPointerEnter={(event) => event.pointerType === "mouse" && setBefore(true)}
      onPointerLeave={() => setBefore(false)}
    >
      <ZoomFrame
        zoom={zoom}
        onZoom={onZoom}
        width={source.width}
        height={source.height}
        grab={grab}
        overlay={tag}
      >
        <img src={result.image.url} alt={`Result: ${result.prompt}`} draggable={false} />
        <img
          className={isBefore ? "" : "is-hidden"}
          src={source.url}
          alt="Before the edit"
          draggable={false}
        />
      </ZoomFrame>
      <button
        type="button"
        aria-pressed={isBefore}
        onKeyDown={(event) => [" ", "Enter"].includes(event.key) && setBefore(true)}
        onKeyUp={() => setBefore(false)}
        onBlur={() => setBefore(false)}
        onPointerDown={() => setBefore(true)}
      >
        Hold to see it before the edit
      </button>
    </div>
  );
}

/** A result beside or over its source. All its images are zoomed and moved in step. */
export function Viewer(props: ViewerProps) {
  const { view, result, source, zoom, onZoom } = props;
  const alt = `Result: ${result.prompt}`;
  const frame = { zoom, onZoom, width: source.width, height: source.height };
  if (view === "beside")
    return (
      <div className="beside">
        <figure>
          <ZoomFrame {...frame}>
            <img src={source.url} alt="Before the edit" draggable={false} />
          </ZoomFrame>
          <figcaption className="hint">Before</figcaption>
        </figure>
        <figure>
          <ZoomFrame {...frame}>
            <img src={result.image.url} alt={alt} draggable={false} />
          </ZoomFrame>
          <figcaption className="hint">After</figcaption>
        </figure>
      </div>
    );
  if (view === "mask" && result.edit_mask)
    return (
      <ZoomFrame {...frame}>
        <img src={source.url} alt="Before the edit" draggable={false} />
        <img
          className="mask-overlay"
          src={result.edit_mask.url}
          alt="Bright: the region that the edit may change"
          draggable={false}
        />
      </ZoomFrame>
    );
  if (view === "hold") return <Hold {...props} />;
  return <Compare before={source.url} after={result.image.url} alt={alt} {...frame} />;
}

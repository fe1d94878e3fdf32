import {
  type CSSProperties,
  type KeyboardEvent,
  type PointerEvent,
  type ReactNode,
  useEffect,
  useRef,
} from "react";
import { panBy, toImage, WHOLE, type Zoom, zoomAt } from "../lib/zoom";

const STEP = 1.5;

/** A pointer that the content takes for itself, as a brush does. Points are shares of the image. */
export interface Grab {
  /** Returns whether it takes this pointer; otherwise it moves the image. */
  onStart: (x: number, y: number, event: PointerEvent) => boolean;
  onMove: (x: number, y: number) => void;
  onEnd: () => void;
  /** Two fingers zoom: what the first one has begun is taken back. */
  onCancel: () => void;
  onHover?: (x: number, y: number) => void;
}

interface ZoomFrameProps {
  zoom: Zoom;
  onZoom: (change: (now: Zoom) => Zoom) => void;
  width: number;
  height: number;
  grab?: Grab;
  /** What lies in the image and is zoomed with it. */
  children: ReactNode;
  /** What stays in place above it. */
  overlay?: ReactNode;
  className?: string;
}

const middleOf = (points: { x: number; y: number }[]) => ({
  x: points.reduce((sum, point) => sum + point.x, 0) / points.length,
  y: points.reduce((sum, point) => sum + point.y, 0) / points.length,
});

const spread = ([one, other]: { x: number; y: number }[]): number =>
  one && other ? Math.hypot(one.x - other.x, one.y - other.y) : 0;

/** The fingers and mouse on a frame: one moves the image or is grabbed, two zoom. */
function usePointers({ onZoom, zoom, grab }: Pick<ZoomFrameProps, "onZoom" | "zoom" | "grab">) {
  const points = useRef(new Map<number, { x: number; y: number }>());
  const isGrabbed = useRef(false);
  const shareOf = (event: PointerEvent<HTMLElement>) => {
    const frame = event.currentTarget.getBoundingClientRect();
    return { x: (event.clientX - frame.left) / frame.width, y: (event.clientY - frame.top) / frame.height };
  };
  const onPointerDown = (event: PointerEvent<HTMLElement>) => {
    if (event.button > 1) return;
    const at = shareOf(event);
    points.current.set(event.pointerId, at);
    if (points.current.size === 1 && event.button === 0 && grab) {
      const { x, y } = toImage(zoom, at.x, at.y);
      isGrabbed.current = grab.onStart(x, y, event);
    } else if (isGrabbed.current) {
      isGrabbed.current = false;
      grab?.onCancel();
    }
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const onPointerMove = (event: PointerEvent<HTMLElement>) => {
    const at = shareOf(event);
    const image = toImage(zoom, at.x, at.y);
    grab?.onHover?.(image.x, image.y);
    const before = [...points.current.values()];
    if (!points.current.has(event.pointerId)) return;
    points.current.set(event.pointerId, at);
    const after = [...points.current.values()];
    if (isGrabbed.current) grab?.onMove(image.x, image.y);
    else {
      const [from, to] = [middleOf(before), middleOf(after)];
      const factor = after.length > 1 && spread(before) > 0 ? spread(after) / spread(before) : 1;
      onZoom((now) => panBy(zoomAt(now, factor, to.x, to.y), to.x - from.x, to.y - from.y));
    }
  };
  const onPointerUp = (event: PointerEvent<HTMLElement>) => {
    points.current.delete(event.pointerId);
    if (isGrabbed.current) grab?.onEnd();
    isGrabbed.current = false;
  };
  return { onPointerDown, onPointerMove, onPointerUp, onPointerCancel: onPointerUp };
}

/** A frame around an image that can be enlarged and moved; several frames with the same zoom stay in step. */
export function ZoomFrame(props: ZoomFrameProps) {
  const { zoom, onZoom, width, height, children, overlay, className = "", grab } = props;
  const frame = useRef<HTMLDivElement>(null);
  const pointers = usePointers(props);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    // React listens passively, and the wheel with Ctrl would enlarge the whole page.
    const onWheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { left, top, width: wide, height: high } = element.getBoundingClientRect();
      const [x, y] = [(event.clientX - left) / wide, (event.clientY - top) / high];
      onZoom((now) => zoomAt(now, Math.exp(-event.deltaY / 200), x, y));
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [onZoom]);
  const style = {
    "--ratio": `${width} / ${height}`,
    "--zoom": zoom.scale,
    "--zoom-x": `${zoom.x * 100}%`,
    "--zoom-y": `${zoom.y * 100}%`,
  } as CSSProperties;
  const isStill = zoom.scale === 1 && !grab;
  return (
    <div
      ref={frame}
      className={`zoom-frame ${isStill ? "is-still" : ""} ${zoom.scale > 1 ? "is-zoomed" : ""} ${className}`}
      style={style}
      {...pointers}
    >
      <div className="zoomed">{children}</div>
      {overlay}
    </div>
  );
}

/** Buttons and the state of a zoom. */
export function ZoomControls({ zoom, onZoom }: Pick<ZoomFrameProps, "zoom" | "onZoom">) {
  return (
    <fieldset className="zoom-controls" aria-label="Size of the image">
      <button
        type="button"
        className="quiet icon"
        aria-label="Smaller"
        disabled={zoom.scale <= 1}
        onClick={() => onZoom((now) => zoomAt(now, 1 / STEP))}
      >
        −
      </button>
      <button
        type="button"
        className="quiet zoom-size"
        title="Show the whole image"
        onClick={() => onZoom(() => WHOLE)}
      >
        {Math.round(zoom.scale * 100)} %
      </button>
      <button
        type="button"
        className="quiet icon"
        aria-label="Larger"
        onClick={() => onZoom((now) => zoomAt(now, STEP))}
      >
        +
      </button>
    </fieldset>
  );
}

const KEYS: Record<string, (now: Zoom) => Zoom> = {
  "+": (now) => zoomAt(now, STEP),
  "=": (now) => zoomAt(now, STEP),
  "-": (now) => zoomAt(now, 1 / STEP),
  "0": () => WHOLE,
};

/** The keys + - 0 change the zoom. Returns whether the key was one of them. */
export function zoomByKey(event: KeyboardEvent, onZoom: ZoomFrameProps["onZoom"]): boolean {
  const change = KEYS[event.key];
  if (!change || event.ctrlKey || event.metaKey || event.altKey) return false;
  event.preventDefault();
  onZoom(change);
  return true;
}

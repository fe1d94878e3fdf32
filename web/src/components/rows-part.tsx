import { type CSSProperties, type ReactNode, useEffect, useRef, useState } from "react";

const NEAR = "1500px 0px"; // above and below what is seen
const ROW_HEIGHT = 76; // of most rows, in pixels, until the part was drawn once

interface RowsPartProps {
  label: string;
  count: number;
  /** The rows. They are made only while the part is near what is seen. */
  children: () => ReactNode;
}

/** A part of a long list. Far from what is seen it is empty and keeps its height, so that a long list stays quick. */
export function RowsPart({ label, count, children }: RowsPartProps) {
  const element = useRef<HTMLUListElement>(null);
  const [height, setHeight] = useState<number | null>(count * ROW_HEIGHT);
  useEffect(() => {
    const observer = new IntersectionObserver(
      (entries) => {
        const entry = entries.at(-1);
        if (entry) setHeight(entry.isIntersecting ? null : entry.boundingClientRect.height);
      },
      { rootMargin: NEAR },
    );
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  const isFar = height !== null;
  return (
    <ul
      ref={element}
      className="rows"
      aria-label={label}
      style={isFar ? ({ height: `${height}px` } as CSSProperties) : undefined}
    >
      {isFar ? null : children()}
    </ul>
  );
}

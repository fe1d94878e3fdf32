import { type CSSProperties, useState } from "react";

interface CompareProps {
  before: string;
  after: string;
  alt: string;
  width: number;
  height: number;
}

/** Two images of the same size, with a line between them that the pointer and the arrow keys move. */
export function Compare({ before, after, alt, width, height }: CompareProps) {
  const [at, setAt] = useState(50);
  const style = { "--at": `${at}%`, "--ratio": `${width} / ${height}` } as CSSProperties;
  return (
    <div className="compare" style={style}>
      <img src={before} alt="Before the edit" />
      <img className="compare-after" src={after} alt={alt} />
      <span className="compare-tag compare-tag-before" aria-hidden="true">
        Before
      </span>
      <span className="compare-tag compare-tag-after" aria-hidden="true">
        After
      </span>
      <div className="compare-line" aria-hidden="true" />
      <input
        type="range"
        min={0}
        max={100}
        value={at}
        aria-label="Share of the image that shows it before the edit"
        onChange={(event) => setAt(Number(event.target.value))}
      />
    </div>
  );
}

import { memo } from "react";
import type { Subject } from "../api/client";
import { useSubjects } from "../api/queries";
import { Empty } from "../components/empty";
import { Refusal } from "../components/notice";
import { Picture } from "../components/picture";
import { ForWriters, WritersOnly } from "../components/rights";
import { ago } from "../lib/words";

const SubjectCard = memo(function SubjectCard({ subject }: { subject: Subject }) {
  const [first, ...others] = subject.references;
  return (
    <li>
      <a className="subject-card" href={`#/subjects/${subject.id}`}>
        <div className="subject-images">
          {first && <Picture id={first.image_id} alt="" className="subject-first" />}
          <div className="subject-others">
            {others.slice(0, 3).map((reference) => (
              <Picture key={reference.image_id} id={reference.image_id} alt="" />
            ))}
          </div>
        </div>
        <h2>{subject.name}</h2>
        <p className="hint">
          {subject.class_noun} · {subject.references.length} images · {ago(subject.created_at)}
        </p>
      </a>
    </li>
  );
});

function FirstSteps() {
  return (
    <Empty title="Teach LIPE its first subject">
      <ol className="steps">
        <li>
          <strong>Show it.</strong> Three to five images of one animal, thing or person, in different poses.
        </li>
        <li>
          <strong>Let it learn.</strong> Training makes a small file, the prior, that knows this subject.
        </li>
        <li>
          <strong>Edit.</strong> Ask for another pose, expression or viewpoint. The rest of the image stays as
          it is.
        </li>
      </ol>
      <WritersOnly what="teach a subject">
        <div className="actions">
          <a className="button primary" href="#/subjects/new">
            New subject
          </a>
        </div>
      </WritersOnly>
    </Empty>
  );
}

export function Subjects() {
  const subjects = useSubjects();
  const all = subjects.data?.pages.flatMap((page) => page.data) ?? [];
  return (
    <>
      <div className="page-head">
        <h1>Subjects</h1>
        {all.length > 0 && (
          <ForWriters>
            <a className="button primary" href="#/subjects/new">
              New subject
            </a>
          </ForWriters>
        )}
      </div>
      <Refusal error={subjects.error} />
      {subjects.isSuccess && all.length === 0 && <FirstSteps />}
      <ul className="gallery">
        {all.map((subject) => (
          <SubjectCard key={subject.id} subject={subject} />
        ))}
      </ul>
      {subjects.hasNextPage && (
        <button
          type="button"
          disabled={subjects.isFetchingNextPage}
          onClick={() => void subjects.fetchNextPage()}
        >
          Show more
        </button>
      )}
    </>
  );
}

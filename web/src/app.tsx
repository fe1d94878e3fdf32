import { lazy, type ReactNode, Suspense, useEffect, useRef } from "react";
import { setKey, useKey, useOfferedKey } from "./api/session";
import { MiniatureBanner } from "./components/miniature-banner";
import { KeyBadge, WritersOnly } from "./components/rights";
import { Mark, ThemeButton } from "./components/shell";
import { type Place, usePlace } from "./lib/router";
import { JobPage } from "./screens/job";
import { NewSubject } from "./screens/new-subject";
import { OfferedKey } from "./screens/offered-key";
import { SignIn } from "./screens/sign-in";
import { SubjectPage } from "./screens/subject";
import { Subjects } from "./screens/subjects";

const EditPage = lazy(() => import("./screens/edit"));
const ComparePage = lazy(() => import("./screens/compare"));
const History = lazy(() => import("./screens/history"));
const RatePage = lazy(() => import("./screens/rate"));
const Service = lazy(() => import("./screens/service"));
const StudyPage = lazy(() => import("./screens/study"));
const AREAS = [
  ["subjects", "Subjects"],
  ["edit", "Edit"],
  ["history", "History"],
  ["study", "Study"],
  ["service", "Service"],
] as const;

function Screen({ place }: { place: Place }): ReactNode {
  const [area, id = ""] = place.path;
  if (area === "subjects" && id === "new")
    return (
      <WritersOnly what="teach a subject">
        <NewSubject />
      </WritersOnly>
    );
  if (area === "subjects" && id) return <SubjectPage key={id} id={id} />;
  if (area === "jobs" && id) return <JobPage key={id} id={id} />;
  if (area === "edit")
    return (
      <WritersOnly what="edit an image">
        <EditPage key={place.query.toString()} query={place.query} />
      </WritersOnly>
    );
  if (area === "compare") return <ComparePage key={place.query.toString()} query={place.query} />;
  if (area === "history") return <History />;
  if (area === "study") return <StudyPage key={id} id={id} />;
  if (area === "service") return <Service />;
  return <Subjects />;
}

/** The page of someone with a key. `isHidden`: the key was refused; what is typed stays until there is another. */
function Shell({ isHidden }: { isHidden: boolean }) {
  const place = usePlace();
  const main = useRef<HTMLElement>(null);
  const address = place.path.join("/");
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    if (!isFirst.current && address) scrollTo(0, 0);
    isFirst.current = false;
  }, [address]);
  const current = ["jobs", "compare"].includes(place.path[0] ?? "")
    ? "history"
    : (place.path[0] ?? "subjects");
  return (
    <div hidden={isHidden}>
      <header className="top">
        <a className="brand" href="#/subjects">
          <Mark /> LIPE
        </a>
        <nav aria-label="Areas">
          {AREAS.map(([path, name]) => (
            <a key={path} href={`#/${path}`} aria-current={path === current ? "page" : undefined}>
              {name}
            </a>
          ))}
        </nav>
        <div className="top-end">
          <KeyBadge />
          <ThemeButton />
          <button type="button" className="quiet" onClick={signOut}>
            Sign out
          </button>
        </div>
      </header>
      <main ref={main} tabIndex={-1}>
        <MiniatureBanner />
        <Suspense fallback={<p className="hint">Loading ...</p>}>
          <Screen place={place} />
        </Suspense>
      </main>
    </div>
  );
}

/** Forget the key, and everything that was read with it. */
function signOut(): void {
  setKey(null);
  location.reload();
}

export function App() {
  const hasKey = useKey() !== null;
  const wasOpen = useRef(false);
  wasOpen.current ||= hasKey;
  const offered = useOfferedKey();
  const [area, token = ""] = usePlace().path;
  if (area === "rate" && !offered)
    return (
      <Suspense fallback={<p className="hint">Loading ...</p>}>
        <RatePage token={token} />
      </Suspense>
    );
  return (
    <>
      {offered && <OfferedKey offered={offered} hasKey={hasKey} />}
      {!hasKey && !offered && <SignIn wasOpen={wasOpen.current} />}
      {wasOpen.current && <Shell isHidden={!hasKey || offered !== null} />}
    </>
  );
}

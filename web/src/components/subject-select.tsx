import type { ReactNode } from "react";
import { useSubject, useSubjects } from "../api/queries";
import { SelectField } from "./fields";

/** A subject of the project, newest first. The chosen one is an option also if it is older than those that are shown. */
export function SubjectSelect({
  value,
  onChange,
  none,
  hint,
}: {
  value: string;
  onChange: (id: string) => void;
  none: string;
  hint?: ReactNode;
}) {
  const subjects = useSubjects();
  const chosen = useSubject(value).data;
  const shown = subjects.data?.pages.flatMap((page) => page.data) ?? [];
  const options = !chosen || shown.some(({ id }) => id === chosen.id) ? shown : [...shown, chosen];
  return (
    <div>
      <SelectField
        label="Subject"
        value={value}
        hint={hint}
        onChange={(event) => onChange(event.target.value)}
      >
        <option value="">{none}</option>
        {options.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </SelectField>
      {subjects.hasNextPage && (
        <button
          type="button"
          className="quiet"
          disabled={subjects.isFetchingNextPage}
          onClick={() => void subjects.fetchNextPage()}
        >
          Offer older subjects
        </button>
      )}
    </div>
  );
}

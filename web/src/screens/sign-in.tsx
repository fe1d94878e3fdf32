import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "../api/client";
import { readKey } from "../api/own-key";
import { setKey } from "../api/session";
import { TextField } from "../components/fields";
import { Notice, Refusal } from "../components/notice";
import { Mark, ThemeButton } from "../components/shell";

/** Ask the service whether it accepts the key, before the page keeps it. */
async function check(key: string): Promise<void> {
  await readKey(key);
  setKey(key);
}

export function SignIn({ wasOpen }: { wasOpen: boolean }) {
  const [key, setText] = useState("");
  const signIn = useMutation({ mutationFn: check });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate(key.trim());
  };
  const isInvalid = signIn.error instanceof ApiProblem && signIn.error.document.status === 401;
  return (
    <main className="sign-in">
      <div className="sign-in-top">
        <ThemeButton />
      </div>
      <form className="card" onSubmit={submit}>
        <h1>
          <Mark /> LIPE studio
        </h1>
        <p>
          Teach LIPE a subject from a few images. Then change its pose, expression or viewpoint in any image
          of it.
        </p>
        {wasOpen && (
          <Notice tone="warning" title="The key is not valid any more">
            It was revoked, or it has expired. Give another one: what you typed is still there.
          </Notice>
        )}
        <TextField
          label="API key"
          type="password"
          autoComplete="off"
          spellCheck={false}
          required
          value={key}
          onChange={(event) => setText(event.target.value)}
          hint={
            <>
              It begins with <code>lipe_</code>. <code>lipe up</code> prints it, with an address that has the
              key already in. It stays in this tab.
            </>
          }
          error={isInvalid ? signIn.error?.message : undefined}
        />
        {!isInvalid && <Refusal error={signIn.error} />}
        <button type="submit" className="primary" disabled={signIn.isPending}>
          {signIn.isPending ? "Checking ..." : "Open the studio"}
        </button>
      </form>
    </main>
  );
}

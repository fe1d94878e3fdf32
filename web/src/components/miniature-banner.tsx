import { useModels } from "../api/queries";
import { TryButton } from "./first-try";

/** Says what the miniature can and cannot do, so that no one judges the method by photos on it. */
export function MiniatureBanner() {
  const models = useModels().data;
  if (!models?.length || !models.every((model) => model.miniature)) return null;
  return (
    <section className="banner" aria-label="About the base model">
      <p>
        <strong>This service runs the miniature</strong>, a small base model that knows only a drawn world.
        Photos do not work with it.
      </p>
      <TryButton />
      <details>
        <summary>How to use photos</summary>
        <p>
          Start the service with an SDXL checkpoint, on a machine with a GPU:{" "}
          <code>lipe up --base-model stabilityai/stable-diffusion-xl-base-1.0</code>
        </p>
      </details>
    </section>
  );
}

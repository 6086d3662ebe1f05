// Signing in and adding a passkey. Without this module, or where the browser has no
// passkeys, the button stays hidden and the page's other ways are there.
const button = document.getElementById("passkey");
const parse = globalThis.PublicKeyCredential;
if (button && parse?.parseRequestOptionsFromJSON) {
  const say = document.getElementById("passkey-said");
  const add = button.dataset.add === "1";
  const send = async (path, more) => {
    const body = new URLSearchParams({ form: button.dataset.form, next: button.dataset.next ?? "/", ...(add ? { add: "1" } : {}), ...more });
    const answer = await fetch(path, { method: "POST", body });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  };
  button.hidden = false;
  document.getElementById("passkey-way")?.removeAttribute("hidden");
  button.addEventListener("click", async () => {
    say.textContent = "";
    try {
      const { publicKey } = await send("/signin/passkey/begin", {});
      const key = add
        ? await navigator.credentials.create({ publicKey: parse.parseCreationOptionsFromJSON(publicKey) })
        : await navigator.credentials.get({ publicKey: parse.parseRequestOptionsFromJSON(publicKey) });
      const { next } = await send("/signin/passkey/end", { credential: JSON.stringify(key.toJSON()) });
      location.assign(next);
    } catch {
      say.textContent = button.dataset.failed;
      say.focus();
    }
  });
}

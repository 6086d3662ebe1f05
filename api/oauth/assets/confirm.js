// Confirming a consent with a passkey. Without this module, or where the browser has
// no passkeys, the form is sent as it is.
const form = document.getElementById("decide");
const give = document.querySelector('button[name=act][value=give]');
const key = globalThis.PublicKeyCredential;
if (key?.parseRequestOptionsFromJSON) {
  const not = document.getElementById("confirm-not");
  let ready = false;
  const send = () => {
    ready = true;
    form.requestSubmit(give);
  };
  document.getElementById("confirm").hidden = false;
  document.getElementById("confirm-without").addEventListener("click", send);
  form.addEventListener("submit", async (e) => {
    if (ready || e.submitter !== give) return;
    e.preventDefault();
    not.hidden = true;
    const body = new URLSearchParams(new FormData(form));
    body.set("act", "prepare");
    try {
      const said = await fetch(form.action, { method: "POST", body });
      if (said.status === 204) return send(); // no passkey helps: the page that the form leads to says what is wrong
      const options = (await said.json()).publicKey;
      const answer = await navigator.credentials.get({ publicKey: key.parseRequestOptionsFromJSON(options) });
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "credential", value: JSON.stringify(answer.toJSON()) });
      form.append(field);
    } catch {
      not.hidden = false;
      return not.focus();
    }
    send();
  });
}

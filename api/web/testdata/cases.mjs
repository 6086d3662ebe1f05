// Runs cases of verify.js: [{name, file, policy, chain, result, step, code}], with
// file and policy chain in base64 and policies with form feeds between them. It
// returns what went wrong, as texts. The same code runs in Chromium and, where
// there is one, in node.
export async function run({ verify, parsePolicy, formatPolicy }, { verifyPlain, verify: any }, { followChain }, cases, signatures) {
  const bytes = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
  const faults = [];
  for (const c of cases) {
    let got;
    try {
      let policies = c.policy.split("\f").map(parsePolicy);
      if (c.chain) policies = await followChain(bytes(c.chain), policies);
      if (c.last && formatPolicy(policies.at(-1)) !== formatPolicy(parsePolicy(c.last))) faults.push(`${c.name}: the chain leads to another policy`);
      got = await verify(bytes(c.file), policies, undefined, c.secret && bytes(c.secret));
    } catch (e) {
      got = { result: "threw", reason: String(e) };
    }
    const differs = got.result !== c.result || (c.code && got.code !== c.code) || (c.step && got.step !== c.step) || (c.status && got.status?.state !== c.status);
    const events = (got.handles ?? []).reduce((n, h) => n + h.events, 0);
    const bundle = (c.about ?? "") !== (got.about ?? "") || (c.result === "match" && events !== (c.events ?? 0)) || (got.result === "match" && got.ownHandles !== !!c.secret);
    if (differs || bundle) faults.push(`${c.name}: ${got.result} ${got.step} ${got.code} ${got.about} ${got.status?.state} ${events} (${got.reason}), want ${c.result} ${c.step} ${c.code} ${c.about} ${c.status} ${c.events}`);
  }
  for (const s of signatures) {
    const args = [bytes(s.key), bytes(s.message), bytes(s.sig)];
    if (verifyPlain(...args) !== s.ok) faults.push(`plain signature ${s.name}: want ${s.ok}`);
    if ((await any(...args)) !== s.ok) faults.push(`signature ${s.name}: want ${s.ok}`);
  }
  return faults;
}

// An app as its developer would write it with openid-client: discovery, pushed
// request, DPoP. It prints the address to send the browser to, reads where the
// browser came back, and prints what it could do.
import * as client from "openid-client";
import { createInterface } from "node:readline";

const [issuer, id, redirect] = process.argv.slice(2);
const config = await client.discovery(new URL(issuer), id, undefined, client.None(), { execute: [client.allowInsecureRequests] });
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const nonce = client.randomNonce();
const to = await client.buildAuthorizationUrlWithPAR(
  config,
  {
    redirect_uri: redirect,
    scope: "openid",
    state,
    nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    authorization_details: JSON.stringify([{ type: "akashi_consent", service: "portal", purposes: ["service"] }]),
  },
  { DPoP },
);
console.log(to.href);

const back = new URL((await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next()).value);
const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce };
const tokens = await client.authorizationCodeGrant(config, back, checks, undefined, { DPoP });
const data = new URL("/oauth/data?purpose=service", issuer);
const read = await client.fetchProtectedResource(config, tokens.access_token, data, "GET", undefined, undefined, { DPoP });
const first = await read.json();
const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
const info = await client.tokenIntrospection(config, next.access_token);
await client.tokenRevocation(config, next.refresh_token);
const after = await client.tokenIntrospection(config, next.access_token);
let replay = "accepted";
try {
  await client.authorizationCodeGrant(config, back, checks, undefined, { DPoP });
} catch (e) {
  replay = e.error ?? e.code ?? String(e);
}
console.log(
  JSON.stringify({
    iss: tokens.claims().iss,
    sub: tokens.claims().sub,
    type: tokens.token_type,
    status: read.status,
    items: first.items,
    dataSub: first.sub,
    active: info.active,
    purposes: info.authorization_details?.[0]?.purposes,
    after: after.active,
    replay,
  }),
);
process.exit(0);

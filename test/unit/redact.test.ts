import assert from "node:assert/strict";
import { withoutProof, withoutSecrets } from "../../lib/redact";

describe("what servers say, without the secrets that they were sent", () => {
  it("a secret is hidden in every form in which it travels", () => {
    const secret = 'p&ss w/rd"+ü';
    for (const form of [secret, encodeURIComponent(secret), new URLSearchParams({ v: secret }).toString().slice(2), JSON.stringify(secret)]) {
      const clean = withoutSecrets(`user a, secret=${form}, and again ${form}.`, [undefined, secret]);
      assert.match(clean, /^user a, secret="?\*\*\*"?, and again "?\*\*\*"?\.$/);
    }
  });

  it("words are left alone: what is empty or shorter than four characters is no secret", () => {
    assert.equal(withoutSecrets("a banana", ["", "a", "ana"]), "a banana");
    assert.equal(withoutSecrets("$& stays, $1 too", ["stays"]), "$& ***, $1 too");
  });

  it("the proof of a request is hidden with and without its scheme", () => {
    const headers = { authorization: "Bearer abc.def", "x-amz-security-token": "session" };
    assert.equal(withoutProof("got Bearer abc.def, that is abc.def, and session", headers), "got ***, that is ***, and ***");
  });
});

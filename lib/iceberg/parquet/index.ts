export { codecAvailable } from "./codec";
export { encodeBatch, type EncodedFile, type EncodeJob } from "./encode";
export { EncoderPool, type EncoderPoolOptions } from "./pool";

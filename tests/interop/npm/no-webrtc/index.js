// WebRTC needs a native module from outside the registry; these tests use HTTP and UDP only.
export const RTCPeerConnection = undefined
export const RTCSessionDescription = undefined
export const RTCIceCandidate = undefined
export default {}

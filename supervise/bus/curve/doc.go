// Package curve is the keys of the bus: CurveZMQ key pairs as text, and who may do what with them.
//
// It owns their text form (Z85, ZeroMQ RFC 32), the derivation of a public key from a secret one, and the rights of a
// key. It uses no ZeroMQ, so that keys can be made and checked by a binary that has none.
//
// It promises that a [Secret] cannot be printed by accident: every way in which fmt, encoding/json and log/slog show
// a value gives "[secret]".
package curve

package signer

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is a call that failed: the gRPC status, and what the signer's google.rpc.ErrorInfo says (docs/errors.md).
type Error struct {
	Code    codes.Code
	Message string
	// Reason is the word to branch on; empty if it was not the signer that spoke, but the connection to it.
	Reason string
	// Rule is the line of the signer's configuration that refused.
	Rule string
	// Entry is where the signer's ledger holds the refusal.
	Entry string
	// RetryAfter is how long the signer asks to wait, where waiting can help.
	RetryAfter time.Duration
	// RequestID is the name of the request in the signer's ledger.
	RequestID string
}

func newError(err error, requestID string) *Error {
	answer := status.Convert(err)
	failed := &Error{Code: answer.Code(), Message: answer.Message(), RequestID: requestID}
	for _, detail := range answer.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.Domain != "countersign.v1" {
			continue
		}
		failed.Reason = info.Reason
		failed.Rule = info.Metadata["rule"]
		failed.Entry = info.Metadata["entry"]
		if ms, err := strconv.ParseInt(info.Metadata["retry_after_ms"], 10, 64); err == nil {
			failed.RetryAfter = time.Duration(ms) * time.Millisecond
		}
	}
	return failed
}

// again says whether the same request may be sent once more, and after how long. Everything else is final: asking again
// for what was refused is refused again, and counted.
func (e *Error) again(pause time.Duration) (time.Duration, bool) {
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter, true
	case e.Code == codes.Unavailable, e.Code == codes.DeadlineExceeded:
		return pause, true
	default:
		return 0, false
	}
}

func (e *Error) Error() string {
	var text strings.Builder
	if e.Reason != "" {
		fmt.Fprintf(&text, "the signer refused: %s: %s", e.Reason, e.Message)
	} else {
		fmt.Fprintf(&text, "the call failed: %s: %s", e.Code, e.Message)
	}
	for _, more := range [][2]string{{"rule", e.Rule}, {"ledger entry", e.Entry}, {"request id", e.RequestID}} {
		if more[1] != "" {
			fmt.Fprintf(&text, "; %s %s", more[0], more[1])
		}
	}
	return text.String()
}

package oidc_test

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the package when a test leaves a goroutine behind, the provider's included. The provider logs each request by
// the process's logger, which nobody wants to read here.
func TestMain(m *testing.M) {
	if os.Getenv("OIDC_LOG") == "" {
		slog.SetDefault(slog.New(slog.DiscardHandler))
	}
	goleak.VerifyTestMain(m)
}

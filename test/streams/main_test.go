package streams_test

import (
	"testing"

	"github.com/axlehttp/axle/internal/axletest"
)

// TestMain fails the package when a test leaves a goroutine behind.
func TestMain(m *testing.M) { axletest.Main(m) }

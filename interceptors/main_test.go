package interceptors_test

import (
	"testing"

	"github.com/axlehttp/axle/internal/axletest"
)

// TestMain fails the package when an example leaves a goroutine behind.
func TestMain(m *testing.M) { axletest.Main(m) }

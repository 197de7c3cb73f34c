package bubble

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSleep_InABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		Sleep(24 * time.Hour)
		if took := time.Since(begun); took != 24*time.Hour {
			t.Errorf("it took %v", took)
		}
	})
}

func TestSleep_OutsideOfABubble(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("real time passed")
		}
	}()
	Sleep(0)
}

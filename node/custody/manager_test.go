package custody

import (
	"testing"

	"github.com/akashi-ledger/akashi/ledger/record"
)

// TestOneManager: obligations 003-05, 003-14 to 003-16. One manager at every
// instant, who alone looks and registers, with a fresh credential, until they leave.
func TestOneManager(t *testing.T) {
	s := newShop(t)
	s.at("2027-02-01T09:00:00+09:00")
	v := s.still(thief)
	s.wantView(v.ID, "") // nobody manages anything yet
	assign := func(site, staff, replaces string) error { return s.AssignManager(ctx, Call{}, site, staff, replaces) }
	noErr(t, assign("a", "ma1", ""))
	wantCode(t, assign("a", "ma2", ""), record.CodeManagerAssigned)
	wantCode(t, assign("a", "ma2", "mb1"), record.CodeManagerAssigned)
	wantCode(t, assign("Site A", "ma2", ""), CodeMalformed)
	noErr(t, assign("a", "ma1", ""))
	s.reopen(s.member)
	look := func(site, staff string) error {
		_, err := s.ReadDataset(ctx, Call{}, v.ID, Reader{Purpose: "crime-prevention", Site: site, Staff: staff})
		return err
	}
	register := func(staff string) error {
		_, err := s.collect(Collection{Person: thief, From: v.ID, Items: map[string]string{"face-template": "0101"}, Reason: "万引き", Site: "a", Staff: staff})
		return err
	}
	wantCode(t, look("", ""), record.CodeNotManager)
	wantCode(t, look("a", "ma2"), record.CodeNotManager)
	wantCode(t, look("b", "ma1"), record.CodeNotManager)
	wantCode(t, register("ma2"), record.CodeNotManager)
	noErr(t, look("a", "ma1"))
	noErr(t, register("ma1"))

	long, err := s.collect(Collection{Person: "p01", Items: map[string]string{"face-template": "1"}})
	noErr(t, err)
	v = long
	s.at("2027-03-03T08:59:59+09:00") // 30 days after the assignment
	noErr(t, look("a", "ma1"))
	s.at("2027-03-03T09:00:00+09:00")
	wantCode(t, look("a", "ma1"), record.CodeCredentialOverdue)
	noErr(t, s.RotateCredential(ctx, Call{}, "ma1"))
	noErr(t, look("a", "ma1"))
	noErr(t, s.StaffLeave(ctx, Call{}, "ma1"))
	wantCode(t, look("a", "ma1"), record.CodeStaffLeft)
	wantCode(t, s.RotateCredential(ctx, Call{}, "ma1"), record.CodeStaffLeft)
	noErr(t, assign("a", "ma2", "ma1"))
	noErr(t, look("a", "ma2"))
	wantCode(t, assign("b", "ma1", ""), record.CodeStaffLeft)
}

// TestSign: obligation 003-03. A camera that needs a sign collects nothing before
// the right one was put up.
func TestSign(t *testing.T) {
	s := newShop(t)
	see := func(sensor string) error {
		_, err := s.collect(Collection{Person: thief, Items: map[string]string{"still": "x"}, Sensor: sensor})
		return err
	}
	wantCode(t, see("cam-a"), record.CodeSensorNotApproved)
	approve := s.c.SensorApprove("cam-a", "a-sha")
	approve.Body.(*record.SensorApprove).Type = "face-camera"
	s.must("a-sha", approve)
	wantCode(t, see("cam-a"), record.CodeSignMissing)
	wantCode(t, s.PostSign(ctx, Call{}, "cam-a", Sign{Photo: "sha256:1"}), record.CodeSignIncomplete)
	wantCode(t, s.PostSign(ctx, Call{}, "cam-b", Sign{Photo: "sha256:1", SaysFaceRecognition: true}), record.CodeSensorNotApproved)
	wantCode(t, see("cam-a"), record.CodeSignMissing)
	noErr(t, s.PostSign(ctx, Call{}, "cam-a", Sign{Photo: "sha256:2", SaysFaceRecognition: true}))
	s.reopen(s.member)
	noErr(t, see("cam-a"))
	s.must("a-sha", s.c.SensorRetire("cam-a"))
	wantCode(t, see("cam-a"), record.CodeSensorRetired)
}

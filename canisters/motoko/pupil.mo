// The actor class that `school.mo` makes canisters of.

import Prim "mo:prim";

persistent actor class Pupil(name : Text) {
  let called = name;
  transient let present = name;
  var lessons : Nat = 0;

  public func learn() : async Nat { lessons += 1; lessons };

  // The name of the first installation and of the latest, and what was learnt.
  public query func card() : async (Text, Text, Nat) { (called, present, lessons) };

  public query func version() : async Nat64 { Prim.canisterVersion() };
};

// The second version of `album.mo`. It extends types as an upgrade may: a natural number becomes an
// integer, a variant gains a case, and a variable is added. Installed with an argument of `true`,
// its hook after the upgrade traps.

import Map "mo:core/Map";
import Nat "mo:core/Nat";
import Runtime "mo:core/Runtime";

persistent actor class Album(fail : Bool) {
  type Mood = { #calm; #busy; #asleep };

  var views : Int = 0;
  var mood : Mood = #calm;
  var upgrades : Nat = 0;
  var stuck : Bool = false;
  var extra : Text = "new";
  let photos = Map.empty<Nat, Text>();
  transient var visits : Nat = 0;
  transient let failing = fail;

  public func view() : async Int {
    views -= 10;
    visits += 1;
    views;
  };

  public query func find(number : Nat) : async ?Text {
    Map.get(photos, Nat.compare, number);
  };

  public func sleep() : async () { mood := #asleep; extra := "used" };

  public query func state() : async (Int, Nat, Nat, Text, Nat) {
    (views, visits, upgrades, debug_show mood # extra, 2);
  };

  system func preupgrade() {
    if (stuck) { Runtime.trap("stuck before the upgrade") };
  };

  system func postupgrade() {
    views += 1000;
    if (failing) { Runtime.trap("stuck after the upgrade") };
  };
};

// State that outlives upgrades in every way that the language offers: stable variables, a map, and
// the hooks before and after an upgrade. `album_v2.mo`, `album_v3.mo` and `album_bad.mo` are
// upgrades of it.

import Map "mo:core/Map";
import Nat "mo:core/Nat";
import Runtime "mo:core/Runtime";

persistent actor Album {
  type Mood = { #calm; #busy };

  var views : Nat = 0;
  var mood : Mood = #calm;
  var upgrades : Nat = 0;
  var stuck : Bool = false;
  let photos = Map.empty<Nat, Text>();
  // Set anew by every installation of code, also by upgrades.
  transient var visits : Nat = 0;

  public func view() : async Nat {
    views += 1;
    visits += 1;
    views;
  };

  public func add(number : Nat, title : Text) : async () {
    Map.add(photos, Nat.compare, number, title);
  };

  public query func find(number : Nat) : async ?Text {
    Map.get(photos, Nat.compare, number);
  };

  public func work() : async () { mood := #busy };

  // Makes the hook before the next upgrade trap.
  public func stick(yes : Bool) : async () { stuck := yes };

  public query func state() : async (Int, Nat, Nat, Text, Nat) {
    (views, visits, upgrades, debug_show mood, 1);
  };

  system func preupgrade() {
    upgrades += 1;
    if (stuck) { Runtime.trap("stuck before the upgrade") };
  };
};

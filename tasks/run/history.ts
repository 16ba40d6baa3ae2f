/**
 * What a training run learned about itself, epoch by epoch; kept in its checkpoints and shown in its report.
 *
 * @module
 */

/** One finished epoch. */
export interface EpochRecord {
  /** 1-based */
  readonly epoch: number;
  readonly learningRate: number;
  /** mean of the steps' losses */
  readonly trainLoss: number;
  /** the task's score on the validation split: .67 F1 + .33 accuracy, or .5 F1 + .5 accuracy for action units */
  readonly validationScore: number;
  readonly validationF1: number;
  readonly validationAccuracy: number;
  readonly seconds: number;
}

/** Where a run stands; with the weights and the momenta it is all that resuming needs. */
export interface Position {
  /** finished epochs */
  readonly epoch: number;
  /** finished steps of the epoch under way */
  readonly step: number;
  /** sum of the losses of those steps */
  readonly lossSum: number;
}

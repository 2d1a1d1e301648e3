"""Keys of configs of pytorch-template and its relatives: what each is called in a recipe, or why it has no key there.

Keys are compared by their words without case and separators (`registry.fold_name`): `batch_size`, `BATCH_SIZE` and
`batchSize` are one. Forms that were read for this: victoresque/pytorch-template (2018 and today), the configs that
teams of the competition wrote from it, and those of the competition's own baseline, flat or in `{"train": {...}}`.
"""

from __future__ import annotations

NEUTRAL_SECTIONS = frozenset(
    {
        "args",
        "argument",
        "arguments",
        "cfg",
        "config",
        "data",
        "dataloader",
        "dataset",
        "hparams",
        "hyperparameter",
        "hyperparameters",
        "kwargs",
        "loader",
        "parameters",
        "params",
        "settings",
        "train",
        "traindataloader",
        "trainer",
        "training",
        "trainloader",
    }
)
"""Sections that only group settings: `train_loader.args.batch_size` is `batch_size`."""

OTHER_SECTIONS = {
    "validloader": "validation uses the settings of training, in batches twice as large",
    "valloader": "validation uses the settings of training, in batches twice as large",
    "validdataloader": "validation uses the settings of training, in batches twice as large",
    "validation": "validation uses the settings of training",
    "valid": "validation uses the settings of training",
    "val": "validation uses the settings of training",
    "test": "prediction is a command of its own, maskfit predict",
    "testloader": "prediction is a command of its own, maskfit predict",
    "inference": "prediction is a command of its own, maskfit predict",
    "submission": "prediction is a command of its own, maskfit predict",
    "transforms": "the project's own code; choose one with augmentation=light, strong and others",
    "tensorboard": "trainer.loggers=tensorboard logs a run",
    "wandb": "trainer.loggers=wandb logs a run",
    "transform": "the project's own code; choose one with augmentation=light, strong and others",
}
"""Sections of which nothing is read, and why."""

LOADER_SECTIONS = frozenset({"data", "dataloader", "dataset", "loader", "traindataloader", "trainer", "trainloader"})
"""Sections whose `type` or `name` is that of a class, not of the experiment."""

SECTIONS: dict[str, frozenset[str]] = {
    "backbone": frozenset({"arch", "architecture", "backbone", "encoder", "model", "net", "network"}),
    "loss": frozenset({"criterion", "loss", "lossfn"}),
    "optimizer": frozenset({"optim", "optimizer", "optimizerargs", "optimizerparams", "optimparams", "optargs"}),
    "lr_scheduler": frozenset(
        {
            "lrscheduler",
            "lrschedulerargs",
            "lrschedulerparams",
            "lrschparams",
            "scheduler",
            "schedulerargs",
            "schedulerparams",
        }
    ),
}
"""Setting that is a component -> sections that hold its name and options."""

TYPE_WORDS = frozenset({"type", "name"})
"""Last word of the key that names a component, in its section."""

SETTINGS: dict[str, tuple[str, ...]] = {
    "name": ("name", "experimentname", "expname", "runname"),
    "trainer.epochs": ("epochs", "epoch", "numepochs", "nepochs", "nepoch", "maxepochs", "maxepoch", "totalepochs"),
    "trainer.batch_size": ("batchsize", "trainbatchsize", "batch", "bs"),
    "trainer.seed": ("seed", "randomseed", "randomstate"),
    "trainer.early_stopping_patience": (
        "earlystop",
        "earlystopping",
        "earlystoppingpatience",
        "earlystoppatience",
        "patience",
    ),
    "trainer.monitor": ("monitor", "monitormetric", "metrictomonitor"),
    "trainer.gradient_clip_val": ("gradclip", "clipgrad", "maxgradnorm", "gradientclipval", "gradclipnorm"),
    "trainer.accumulate_grad_batches": (
        "accumulationsteps",
        "gradientaccumulationsteps",
        "accumulategradbatches",
        "accumulationstep",
    ),
    "data.image_size": ("inputsize", "resize", "imagesize", "imgsize", "imsize", "resizesize"),
    "data.path": ("datadir", "datapath", "datasetpath", "trainpath", "traindir", "imgdir", "imagedir", "dataroot"),
    "cv.val_fraction": (
        "validationsplit",
        "valratio",
        "validratio",
        "validationratio",
        "valsplit",
        "validsplit",
        "valfraction",
    ),
    "cv.num_folds": ("nfold", "nfolds", "kfold", "kfolds", "numfolds", "numfold", "foldnum", "nsplits", "folds"),
    "lr": ("lr", "learningrate", "baselr", "initlr", "initiallr"),
    "weight_decay": ("weightdecay", "wd", "decay"),
    "momentum": ("momentum",),
    "smoothing": ("labelsmoothing", "smoothing"),
    "n_gpu": ("ngpu", "ngpus", "numgpu", "numgpus", "gpus"),
    "device": ("device", "cuda", "usecuda"),
    "backbone": (
        "arch",
        "archtype",
        "architecture",
        "backbone",
        "model",
        "modelname",
        "modeltype",
        "network",
        "net",
        "encoder",
    ),
    "pretrained": ("pretrained", "usepretrained", "ispretrained"),
    "loss": ("loss", "criterion", "lossfn", "losstype", "lossfunction"),
    "optimizer": ("optimizer", "optim", "optimizertype", "optimizername", "opt"),
    "lr_scheduler": (
        "lrscheduler",
        "scheduler",
        "lrschedulertype",
        "schedulertype",
        "schedulername",
        "sched",
        "schedtype",
        "lrschedule",
    ),
    "lr_decay_step": ("lrdecaystep", "lrstepsize", "stepsize"),
    "lr_gamma": ("lrgamma", "gamma", "lrdecayrate"),
    "tensorboard": ("tensorboard", "tensorboardx", "usetensorboard"),
    "wandb": ("wandb", "usewandb"),
}
"""Setting -> the keys, without case and separators, that hold it; a recipe key, or a word of `pytorch_template`."""

MONITOR_WORDS: dict[str, tuple[str, ...]] = {
    "loss": ("loss",),
    "macro_f1": ("f1", "fscore"),
    "accuracy": ("acc",),
}
"""Value of `trainer.monitor` -> parts of the metric's name in a config: "min val_loss", "max val_accuracy"."""

NO_COUNTERPART: dict[str, str] = {
    "amp": "trainer.precision=auto uses 16 bits where they are faster",
    "aug": "the project's own code; choose one with augmentation=light, strong and others",
    "augmentation": "the project's own code; choose one with augmentation=light, strong and others",
    "augmentations": "the project's own code; choose one with augmentation=light, strong and others",
    "cudavisibledevices": "set it in the environment; trainer.devices is the number of devices",
    "dataloadertype": "there is one data loader; data.path names the dataset",
    "dataset": "there is one dataset, split by persons; data.path names it",
    "datasettype": "there is one dataset, split by persons; data.path names it",
    "dataloader": "there is one data loader; data.path names the dataset",
    "loadertype": "there is one data loader; data.path names the dataset",
    "traindataloadertype": "there is one data loader; data.path names the dataset",
    "trainertype": "there is one training loop",
    "trainloadertype": "there is one data loader; data.path names the dataset",
    "deterministic": "every random draw depends on trainer.seed",
    "droplast": "the last batch of an epoch is trained on too",
    "fp16": "trainer.precision=auto uses 16 bits where they are faster",
    "gpu": "trainer.device is auto, cpu, cuda or mps",
    "infodir": "maskfit predict --image-list FILE --images DIR",
    "labels": "data.label_schema names what is read from a photo",
    "loginterval": "progress is shown on a terminal only",
    "logstep": "progress is shown on a terminal only",
    "metric": "every run reports accuracy, macro F1 and more, over the whole set",
    "metrics": "every run reports accuracy, macro F1 and more, over the whole set",
    "mixedprecision": "trainer.precision=auto uses 16 bits where they are faster",
    "modeldir": "a run is one folder: output_dir=DIR",
    "monitormode": "the direction follows from trainer.monitor: a loss falls, a score rises",
    "numclasses": "the classes follow from data.label_schema",
    "numworkers": "photos are decoded once, with one thread per core",
    "nworkers": "photos are decoded once, with one thread per core",
    "outputdir": "a run is one folder: output_dir=DIR",
    "pinmemory": "batches are copied to a GPU from pinned memory by themselves",
    "prefetchfactor": "photos are decoded once, with one thread per core",
    "resume": "maskfit train --resume continues the run in output_dir",
    "savedir": "a run is one folder: output_dir=DIR",
    "savefreq": "training can be resumed from every epoch; trainer.save_every_n_epochs keeps further models",
    "saveperiod": "training can be resumed from every epoch; trainer.save_every_n_epochs keeps further models",
    "shuffle": "training photos are always shuffled, see sampler; validation photos never are",
    "stage": "training and prediction are separate commands, train and predict",
    "submitdir": "maskfit predict writes to --out",
    "testbatchsize": "prediction chooses its own batch size",
    "valbatchsize": "validation batches are twice as large as trainer.batch_size",
    "validbatchsize": "validation batches are twice as large as trainer.batch_size",
    "validationbatchsize": "validation batches are twice as large as trainer.batch_size",
    "verbose": "progress is shown on a terminal only",
    "verbosity": "progress is shown on a terminal only",
    "visualize": "the report contains the figures",
    "workers": "photos are decoded once, with one thread per core",
}
"""Last word of a key that has no counterpart -> reason."""

SCHEDULER_REASONS = {
    "cooldown": "the rate is reduced as soon as patience is over again",
    "lastepoch": "a resumed run continues its schedule by itself",
    "minlr": "the rate has no lower limit",
    "mode": "the schedule follows trainer.monitor in that metric's own direction",
    "threshold": "any improvement of trainer.monitor counts",
    "verbose": "progress is shown on a terminal only",
}
"""Option of a torch scheduler without a counterpart -> reason."""

TORCH_DEFAULTS: dict[str, dict[str, float]] = {
    "reduce_on_plateau": {"factor": 0.1, "patience": 10},
    "step": {"factor": 0.1},
}
"""Schedule -> torch's defaults where maskfit's are others; a config that does not set them means torch's."""
